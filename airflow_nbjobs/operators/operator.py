"""The base of the operators: place, connection, links."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import wraps
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar

from airflow.providers.common.compat.sdk import BaseOperator

from airflow_nbjobs.exceptions import NotFoundError
from airflow_nbjobs.links import LINKS

if TYPE_CHECKING:
    from airflow_nbjobs.hooks import NotebookExecutionJobHook

__all__ = ["NotebookJobOperator", "closing_hook", "explaining_missing"]

P = ParamSpec("P")
R = TypeVar("R")
Operator = TypeVar("Operator", bound="NotebookJobOperator")


class NotebookJobOperator(BaseOperator):
    """What all operators have in common.

    :param location: region of the jobs, such as ``us-central1`` (templated).
    :param project_id: project of the jobs; default: the connection's (templated).
    :param gcp_conn_id: the Google Cloud connection (templated).
    :param impersonation_chain: service account to impersonate, or a chain of them, the last one being impersonated
        (templated).
    """

    template_fields: Sequence[str] = ("location", "project_id", "gcp_conn_id", "impersonation_chain")
    operator_extra_links = LINKS
    ui_color = "#e8f0fe"

    def __init__(
        self,
        *,
        location: str | None = None,
        project_id: str | None = None,
        gcp_conn_id: str = "google_cloud_default",
        impersonation_chain: str | Sequence[str] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.location = location
        self.project_id = project_id
        self.gcp_conn_id = gcp_conn_id
        self.impersonation_chain = impersonation_chain
        self._hook: NotebookExecutionJobHook | None = None

    @property
    def hook(self) -> NotebookExecutionJobHook:
        """The hook over the operator's connection, made once."""
        from airflow_nbjobs.hooks import NotebookExecutionJobHook

        # Not a cached_property: on Python 3.11 it holds a lock meanwhile, and a kill needs the hook in a thread.
        if self._hook is None:
            self._hook = NotebookExecutionJobHook(
                gcp_conn_id=self.gcp_conn_id, impersonation_chain=self.impersonation_chain
            )
        return self._hook

    @hook.setter
    def hook(self, hook: NotebookExecutionJobHook) -> None:
        self._hook = hook

    def _parent(self) -> str:
        return self.hook.parent(self.location or "", self.project_id)


@contextmanager
def explaining_missing() -> Iterator[None]:
    """Add to the error about a missing job what to check.

    :raises NotFoundError: with the service's own words and the advice.
    """
    from airflow_nbjobs.hints import hint_for_missing

    try:
        yield
    except NotFoundError as error:
        raise error.with_message(f"{error.message} {hint_for_missing()}") from error


def closing_hook(method: Callable[Concatenate[Operator, P], R]) -> Callable[Concatenate[Operator, P], R]:
    """Decorate a method that Airflow calls: the hook's connections are closed when it ends."""

    @wraps(method)
    def wrapper(self: Operator, /, *args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return method(self, *args, **kwargs)
        finally:
            if self._hook is not None:
                self._hook.close()

    return wrapper

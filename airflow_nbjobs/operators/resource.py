"""What operators have in common that name a schedule or a runtime template, list, delete, or wait for an operation."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from airflow_nbjobs.api.names import JobName, ResourceName, resource_name
from airflow_nbjobs.api.pacing import ENDURING, positive_seconds
from airflow_nbjobs.exceptions import NbjobsError, NotFoundError
from airflow_nbjobs.operators.operator import NotebookJobOperator, explaining_missing

if TYPE_CHECKING:
    from airflow_nbjobs.api.job import Operation
    from airflow_nbjobs.resources import ScheduleMethods, TemplateMethods

__all__ = ["DeleteOperator", "ListOperator", "ResourceOperator", "wait"]


class ResourceOperator(NotebookJobOperator):
    """An operator of schedules or of runtime templates.

    :cvar collection: ``schedules`` or ``notebookRuntimeTemplates``.
    """

    collection: ClassVar[str]
    operator_extra_links: tuple[Any, ...] = ()

    def methods(self) -> ScheduleMethods | TemplateMethods:
        """Return the hook's methods of this resource."""
        return self.hook.schedules if self.collection == "schedules" else self.hook.templates

    def name_of(self, given: str | Mapping[str, Any]) -> ResourceName:
        """Return the whole name of a resource.

        :param given: the whole name, the bare id, or the output of a task that created it.
        :raises InvalidNotebookJobError: if it is something else, or in another location.
        """
        return resource_name(given, self.collection, self._parent, self.location)

    def read(self, name: ResourceName) -> Any:
        """Get a resource.

        :raises NotFoundError: if it does not exist.
        """
        with explaining_missing():
            return self.methods().get(str(name))


class ListOperator(NotebookJobOperator):
    """An operator that lists what is in a location.

    :param filter: an expression over fields (templated).
    :param order_by: ``display_name``, ``create_time`` or ``update_time``, with or without ``desc`` (templated). Default
        ``"create_time desc"``: the newest first.
    :param limit: the largest number of items. Default 100, since they all go into one XCom; ``None`` for all.
    """

    template_fields: Sequence[str] = (*NotebookJobOperator.template_fields, "filter", "order_by")
    text_fields = (*NotebookJobOperator.text_fields, "filter", "order_by")
    operator_extra_links: tuple[Any, ...] = ()
    needs_location = True

    def __init__(
        self,
        *,
        filter: str | None = None,  # noqa: A002 - the API's own word
        order_by: str | None = "create_time desc",
        limit: int | None = 100,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.filter = filter
        self.order_by = order_by
        self.limit = limit
        self.check_arguments(filter=filter, order_by=order_by, limit=limit)


class DeleteOperator(NotebookJobOperator):
    """An operator that deletes a resource and waits until it is gone.

    :param ignore_if_missing: succeed if the resource does not exist. Default ``False``.
    :param poll_interval: seconds between two looks at the delete operation. Default 5.
    """

    def __init__(self, *, ignore_if_missing: bool = False, poll_interval: float = 5, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.ignore_if_missing = ignore_if_missing
        self.poll_interval = poll_interval
        self.check_arguments(ignore_if_missing=ignore_if_missing, poll_interval=poll_interval)

    def delete(self, what: str, name: JobName | ResourceName, send: Callable[[str], Operation]) -> str | None:
        """Delete a resource, wait for the operation, and return its name; ``None`` if it did not exist.

        :param what: the resource in sentences.
        :param send: sends the request.
        :raises NotFoundError: if it does not exist, unless ``ignore_if_missing``.
        """
        pause = positive_seconds("poll_interval", self.poll_interval)
        try:
            with explaining_missing():
                operation = send(str(name))
        except NotFoundError as error:
            if not self.ignore_if_missing:
                raise
            self.log.info("The %s %s does not exist: %s", what, name, error)
            return None
        wait(self, operation, name.location, pause, f"delete the {what} {name}")
        self.log.info("The %s %s was deleted.", what, name)
        return str(name)


def wait(operator: NotebookJobOperator, operation: Operation, location: str, pause: float, aim: str) -> Operation:
    """Wait until an operation is done, and return it.

    :param pause: seconds between two looks.
    :param aim: what it does, for the error.
    :raises NbjobsError: if it failed.
    """
    from airflow_nbjobs.api.waiting import wait_for_operation

    done = operator.hook.run_flow(location, wait_for_operation(operation, pause), ENDURING)
    if done.error is not None and done.error.code:
        raise NbjobsError(f"Failed to {aim}: {done.error.message}")
    return done

"""The base of the operators: place, connection, links."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import wraps
from typing import TYPE_CHECKING, Any, ClassVar, Concatenate, ParamSpec, TypeVar, cast

from airflow.providers.common.compat.sdk import AirflowException, AirflowFailException, BaseOperator
from jinja2.exceptions import TemplateError

from airflow_nbjobs.api.names import check_location
from airflow_nbjobs.exceptions import FailureKind, InvalidNotebookJobError, NbjobsError, NotFoundError
from airflow_nbjobs.hints import hint_for_missing
from airflow_nbjobs.links import LINKS
from airflow_nbjobs.operators.text_templates import NOTHING, defined, is_whole_template, render_text
from airflow_nbjobs.run.arguments import as_text, is_template

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_nbjobs.hooks import NotebookExecutionJobHook

__all__ = ["FinalInvalidNotebookJobError", "NotebookJobOperator", "entry_point", "explaining_missing"]

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
    text_fields: ClassVar[tuple[str, ...]] = ("location", "project_id", "gcp_conn_id", "impersonation_chain")
    creates_jobs: ClassVar[bool] = False
    needs_location: ClassVar[bool] = False
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
        self._is_rendering_text = False
        if (self.needs_location or location) and not is_template(location):
            self.check_early(lambda: check_location(location))

    def _do_render_template_fields(
        self, parent: Any, template_fields: Iterable[str], context: Context, jinja_env: Any, seen_oids: set[int]
    ) -> None:
        """Render the text arguments as text, and then the others.

        Airflow renders mapped tasks past ``render_template_fields``; both ways come here.
        """
        texts = [] if parent is not self else [name for name in template_fields if self._is_text(name)]
        for names, is_text in ((texts, True), ([name for name in template_fields if name not in texts], False)):
            self._is_rendering_text = is_text
            super()._do_render_template_fields(parent, names, context, jinja_env, seen_oids)
        for name in texts:
            if getattr(self, name) is NOTHING:
                setattr(self, name, None)

    def _is_text(self, argument: str) -> bool:
        # A job's name may be the output of a create task too, a dict that stays as it is.
        is_text = argument in self.text_fields or argument == "job_name"
        return is_text and not is_whole_template(argument, getattr(self, argument))

    def render_template(
        self, content: Any, context: Context, jinja_env: Any = None, seen_oids: set[int] | None = None
    ) -> Any:
        """Render the templates of a value. One that cannot be rendered fails the task without retries.

        :raises FinalInvalidNotebookJobError: with the words of Jinja; an InvalidNotebookJobError if the task may have a
            job already, which only a retry can adopt or end.
        """
        try:
            if self._is_rendering_text and isinstance(content, str) and id(content) not in (seen_oids or ()):
                template = (jinja_env or self.get_template_env()).from_string(content)
                return render_text(template, cast("dict[str, Any]", context))
            return defined(super().render_template(content, context, jinja_env, seen_oids))
        except TemplateError as error:
            message = (
                f"A template of task {self.task_id!r} cannot be rendered: {error}. Runs that a person starts have no "
                "logical date: use dag_run.run_after, which every run has."
            )
            if self._may_have_job(context):
                raise InvalidNotebookJobError(message, kind=FailureKind.OTHER) from None
            raise FinalInvalidNotebookJobError(message) from None

    def _may_have_job(self, context: Context) -> bool:
        """Return whether an earlier process of the task may have left a job: this is a retry, or the try goes on."""
        if not self.creates_jobs:
            return False
        if context["ti"].try_number > 1 or context.get("task_reschedule_count"):
            return True
        # There is no public way to learn, before the task is resumed, that it was deferred.
        server = getattr(context["ti"], "_ti_context_from_server", None)
        return getattr(server, "next_method", None) is not None

    def check_early(self, check: Callable[[], object]) -> None:
        """Check arguments when the DAG is parsed: an import error is seen before a run fails.

        :param check: raises for a wrong argument.
        :raises InvalidNotebookJobError: names the DAG and the task too.
        """
        try:
            check()
        except InvalidNotebookJobError as error:
            where = f" of DAG {self.dag_id!r}" if self.has_dag() else ""  # type: ignore[no-untyped-call]  # Airflow's
            # Airflow also makes the operator of a mapped task in a run, where no retry corrects the argument.
            raise FinalInvalidNotebookJobError(f"Task {self.task_id!r}{where}: {error}") from None

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
    try:
        yield
    except NotFoundError as error:
        raise error.with_message(f"{error.message} {hint_for_missing()}") from error


def entry_point(method: Callable[Concatenate[Operator, P], R]) -> Callable[Concatenate[Operator, P], R]:
    """Decorate a method that Airflow calls.

    Text arguments are text in it, also with native rendering. The hook's connections are closed at its end. An expected
    error is raised without the frames and causes that led to it, which are logged at level debug: people see its
    sentence first. A wrong argument fails the task without retries.
    """

    @wraps(method)
    def wrapper(self: Operator, /, *args: P.args, **kwargs: P.kwargs) -> R:
        try:
            for name in self.text_fields:
                setattr(self, name, as_text(name, getattr(self, name)))
            return method(self, *args, **kwargs)
        except (NbjobsError, AirflowException) as error:
            self.log.debug("The error in full:", exc_info=True)
            shown = error
        finally:
            # They are pushed. At the end of a task Airflow asks each again, and writes an XCom for an empty one too.
            self.operator_extra_links = ()
            if self._hook is not None:
                self._hook.close()
        # Raised outside the except block: otherwise Airflow would show the error that led to it above this one.
        if isinstance(shown, InvalidNotebookJobError) and shown.is_final:
            shown = FinalInvalidNotebookJobError(str(shown))
        shown.__cause__ = shown.__context__ = None
        raise shown.with_traceback(None)

    return wrapper


class FinalInvalidNotebookJobError(InvalidNotebookJobError, AirflowFailException):
    """A wrong argument, which no retry corrects."""

"""The base of the operators: place, connection, links."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import wraps
from typing import TYPE_CHECKING, Any, ClassVar, Concatenate, ParamSpec, TypeVar, cast

from airflow.providers.common.compat.sdk import AirflowException, AirflowFailException, BaseOperator
from jinja2.exceptions import TemplateError

from airflow_nbjobs.api.names import check_location, check_name, parent
from airflow_nbjobs.exceptions import FailureKind, InvalidNotebookJobError, NbjobsError, NotFoundError
from airflow_nbjobs.hints import hint_for_missing
from airflow_nbjobs.links import LINKS
from airflow_nbjobs.operators.parsing import Parsing, default_arguments, place_of
from airflow_nbjobs.operators.text_templates import NOTHING, defined, is_whole_template, render_text
from airflow_nbjobs.run.argument_rules import as_text, check_values

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_nbjobs.hooks import NotebookExecutionJobHook

__all__ = ["FinalInvalidNotebookJobError", "NotebookJobOperator", "entry_point", "explaining_missing"]

P = ParamSpec("P")
R = TypeVar("R")
Operator = TypeVar("Operator", bound="NotebookJobOperator")


class NotebookJobOperator(BaseOperator):
    """The base class of all operators and sensors, with the arguments that all of them have.

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
        self.check_arguments(
            location=location,
            project_id=project_id,
            gcp_conn_id=gcp_conn_id,
            impersonation_chain=impersonation_chain,
        )
        if self.needs_location and "location" in self.parsing.known({"location": location}):
            self.check_early(lambda: check_location(location))

    @classmethod
    def partial(cls, **kwargs: Any) -> Any:
        """Return the operator for a mapped task, as Airflow does, and check the arguments that are known.

        Airflow makes the operator itself only in a run.

        :raises InvalidNotebookJobError: for an argument that is wrong on its own.
        """
        (dag, group), task_id = place_of(kwargs), kwargs.get("task_id", "")
        given, own = {**default_arguments(kwargs), **kwargs}, cls._own_arguments()
        parsing = Parsing.of(cls, dag, given.pop("render_template_as_native_obj", None), cls._texts())
        given = {name: value for name, value in given.items() if name in own}
        _check_for_task(lambda: check_values(parsing.known(given)), group.child_id(task_id) if group else task_id, dag)
        return super().partial(**kwargs)

    @classmethod
    def _own_arguments(cls) -> set[str]:
        """Return the names of the arguments that are as this package defines them: a subclass may define others."""
        owners: dict[str, str] = {}
        for each in cls.__mro__:
            for name in inspect.signature(vars(each)["__init__"]).parameters if "__init__" in vars(each) else ():
                owners.setdefault(name, each.__module__)
        return {name for name, module in owners.items() if module.startswith("airflow_nbjobs.")}

    @classmethod
    def _texts(cls) -> set[str]:
        # The output of a task that creates a resource may be given for its name, a dict that stays as it is.
        return {*cls.text_fields, "job_name", "runtime_template", "schedule"}

    @property
    def parsing(self) -> Parsing:
        """How Airflow will render the arguments, as far as it is known when the DAG is parsed."""
        own = getattr(self, "render_template_as_native_obj", None)  # of Airflow 3.2 and later
        return Parsing.of(self, self.get_dag(), own, self._texts())

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
        return argument in self._texts() and not is_whole_template(argument, getattr(self, argument))

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
        # Airflow's public interface does not show, before the task is resumed, that it was deferred.
        server = getattr(context["ti"], "_ti_context_from_server", None)
        return getattr(server, "next_method", None) is not None

    def check_arguments(self, **given: Any) -> None:
        """Check each argument on its own when the DAG is parsed, unless its value is known only in a run.

        :raises InvalidNotebookJobError: names the DAG, the task and the argument.
        """
        self.check_early(lambda: check_values(self.parsing.known(given)))

    def check_name(self, argument: str, given: object) -> None:
        """Check the name of a resource when the DAG is parsed, unless it is known only in a run.

        :param argument: ``job_name``, ``schedule`` or ``runtime_template``.
        :raises InvalidNotebookJobError: names the DAG, the task and the argument.
        """
        known = self.parsing.known({argument: given, "location": self.location})
        if argument in known and known[argument] == given:
            place, location = known.get("location", "later"), known.get("location")
            self.check_early(lambda: check_name(argument, given, lambda: parent("project", place or ""), location))

    def check_early(self, check: Callable[[], object]) -> None:
        """Check arguments when the DAG is parsed: an import error is seen before a run fails.

        :param check: raises for a wrong argument.
        :raises InvalidNotebookJobError: names the DAG and the task too.
        """
        _check_for_task(check, self.task_id, self.get_dag())

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


def _check_for_task(check: Callable[[], object], task_id: str, dag: Any) -> None:
    try:
        check()
    except InvalidNotebookJobError as error:
        where = f" of DAG {dag.dag_id!r}" if dag is not None else ""
        # Airflow also makes the operator of a mapped task in a run, where no retry corrects the argument.
        raise FinalInvalidNotebookJobError(f"Task {task_id!r}{where}: {error}") from None


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

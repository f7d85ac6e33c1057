"""What operators that run a notebook have in common: Airflow's entry points, over one ``NotebookRun`` for each try."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import AirflowTaskTimeout

from airflow_nbjobs.exceptions import InvalidNotebookJobError
from airflow_nbjobs.operators.operator import NotebookJobOperator, entry_point

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_nbjobs.run.arguments import RunArguments
    from airflow_nbjobs.run.deferral import Deferral
    from airflow_nbjobs.run.notebook_run import NotebookRun
    from airflow_nbjobs.service import JobService

__all__ = ["NotebookRunOperator"]


class NotebookRunOperator(NotebookJobOperator):
    """An operator that runs a notebook: its arguments become one value, and a ``NotebookRun`` does the rest."""

    creates_jobs = True

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._run: NotebookRun | None = None
        self._started_try, self.is_resumed, self._is_killed = 0, False, False

    @abstractmethod
    def run_arguments(self, context: Context) -> RunArguments:
        """Return the rendered arguments as one value."""

    def completer(self) -> Callable[[RunArguments, JobService], RunArguments]:
        """Return what adds to the arguments what has to be read for each submission: nothing."""
        return lambda arguments, _: arguments

    @entry_point
    def execute(self, context: Context) -> dict[str, Any]:
        """Submit the job or re-attach to it, publish its name and links, and wait for it or defer."""
        self._check_started_by_airflow(context)
        run = self._ready_run(context)
        try:
            return self._finish_or_defer(run.start())
        except AirflowTaskTimeout:
            raise AirflowTaskTimeout(run.time_out()) from None

    def execute_complete(self, context: Context, event: dict[str, Any]) -> dict[str, Any]:
        """Resume: read the job, since the event is only a hint, and finish or defer again."""
        return self._finish_or_defer(self._ready_run(context).resume(event))

    @entry_point
    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Context) -> Any:
        """Resume; if Airflow resumes the task only to fail it, deal with the job first."""
        self.is_resumed = True
        run = self._ready_run(context)
        try:
            return super().resume_execution(next_method, next_kwargs, context)
        except Exception as error:
            if next_method == "__fail__":
                run.fail_deferral(error, is_timeout=(next_kwargs or {}).get("error") == "Trigger timeout")
            raise

    def on_kill(self) -> None:
        """End the job by the kill policy; Airflow kills the process five seconds later."""
        self._is_killed = True
        if self._run is not None:
            self._run.on_kill()

    def get_openlineage_facets_on_start(self) -> Any:
        """Return the lineage of a task that starts or resumes; ``None`` without the OpenLineage provider."""
        return self._lineage()

    def get_openlineage_facets_on_complete(self, task_instance: Any) -> Any:
        """Return the lineage of a task that has succeeded; ``None`` without the OpenLineage provider."""
        return self._lineage(task_instance)

    def get_openlineage_facets_on_failure(self, task_instance: Any) -> Any:
        """Return the lineage of a task that has failed; ``None`` without the OpenLineage provider."""
        return self._lineage(task_instance)

    def _lineage(self, ti: Any = None) -> Any:
        from airflow_nbjobs.lineage import lineage_of

        return lineage_of(self, self._run, ti)

    def _ready_run(self, context: Context) -> NotebookRun:
        """Return the run of this try. It is made once, and loads all that it needs to end its job.

        Loading takes a second. A kill meanwhile interrupts this thread: ``on_kill`` takes note of it, and the run deals
        with its job here.
        """
        if self._run is None:
            try:
                self._run = self._new_run(context)
            except AirflowTaskTimeout:
                self._run = self._new_run(context)  # Airflow calls on_kill next, which needs it
                raise
            if self._is_killed:
                self._run.obey_early_kill()
        return self._run

    def _new_run(self, context: Context) -> NotebookRun:
        from airflow_nbjobs.run.notebook_run import NotebookRun
        from airflow_nbjobs.run.task import TaskContext

        with suppress(Exception):  # an invalid connection is reported where the hook is needed
            _ = self.hook
        return NotebookRun(
            self.run_arguments(context),
            TaskContext.of(context),
            lambda: self.hook,
            self.log,
            is_resumed=self.is_resumed,
            complete=self.completer(),
        )

    def _check_started_by_airflow(self, context: Context) -> None:
        """Check that Airflow executes the operator as a task, once in each try.

        :raises InvalidNotebookJobError: otherwise: the jobs of one task instance could not be distinguished.
        """
        try_number = context["ti"].try_number
        if try_number == self._started_try or context["task"].task_id != self.task_id:
            raise InvalidNotebookJobError(
                f"The operator {self.task_id!r} is executed by the code of a task, or twice. Make it a task of the "
                "DAG, or call NotebookExecutionJobHook in that code."
            )
        self._started_try, self._run, self.is_resumed = try_number, None, False

    def _finish_or_defer(self, came: dict[str, Any] | Deferral) -> dict[str, Any]:
        if not isinstance(came, dict):
            from airflow_nbjobs.triggers import NotebookExecutionJobTrigger

            trigger = NotebookExecutionJobTrigger(
                **came.trigger, gcp_conn_id=self.gcp_conn_id, impersonation_chain=self.impersonation_chain
            )
            self.defer(trigger=trigger, method_name="execute_complete", timeout=came.timeout)
        return came

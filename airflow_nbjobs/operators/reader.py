"""What an operator makes of a job that is over: results, a readable failure, the notebook's text in the log."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from airflow_nbjobs.operators.operator import NotebookJobOperator

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_nbjobs.api.job import NotebookExecutionJob
    from airflow_nbjobs.concluding import Executed

__all__ = ["NotebookJobReader"]


class NotebookJobReader(NotebookJobOperator):
    """Reading the executed notebook.

    The task's result has ``results``: the values that the notebook reports, by scrapbook's ``glue`` or as the JSON
    output of a cell tagged ``xcom`` or ``result``. With ``do_xcom_push=False`` they are not read.

    :param log_output: which cells' outputs are written to the task's log when the job is over: ``"errors"``, those of
        cells that raised (the default), ``"all"``, or ``"none"``.
    :param unusable_results: what to do about results that are too large (``[nbjobs] result_bytes``, 48 KiB) or no JSON,
        or that the connection's account may not read: ``"fail"`` (the default), or ``"omit"`` them; ``results`` is then
        ``None``. A value is never cut. A job that left no executed notebook has no results: a warning, and ``None``.
    """

    def __init__(
        self,
        *,
        log_output: Literal["errors", "all", "none"] = "errors",
        unusable_results: Literal["fail", "omit"] = "fail",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.log_output = log_output
        self.unusable_results = unusable_results

    def check_reading(self) -> None:
        """Check the arguments that nothing looks at until the job is over.

        :raises InvalidNotebookJobError: naming the argument, its value and the remedy.
        """
        from airflow_nbjobs.exceptions import InvalidNotebookJobError

        for argument, allowed in (("log_output", ("errors", "all", "none")), ("unusable_results", ("fail", "omit"))):
            if getattr(self, argument) not in allowed:
                raise InvalidNotebookJobError(
                    f"{argument}={getattr(self, argument)!r} is not possible: give {' or '.join(map(repr, allowed))}."
                )

    def look_for_executed(self, job: NotebookExecutionJob) -> Executed:
        """Read the executed notebook of a job that is over, if anybody wants to know of it."""
        from airflow_nbjobs.concluding import Executed, look_for_executed

        if job.job_state.is_success and not self.do_xcom_push and self.log_output != "all":
            return Executed(problem="nobody asks for results (do_xcom_push=False)")
        return look_for_executed(job, self.hook, has_results=self.do_xcom_push)

    def conclude(self, job: NotebookExecutionJob, executed: Executed, project: str, context: Context) -> dict[str, Any]:
        """Return the task's result, or raise what became of the job.

        :param project: whose console to point at.
        """
        from airflow_nbjobs.concluding import conclude
        from airflow_nbjobs.links import publish_executed
        from airflow_nbjobs.settle import settle

        if executed.uri is not None:
            publish_executed(context["ti"], job, project, executed.uri)
        if executed.outcome is None and job.job_state.is_success and not self.do_xcom_push:
            if self.log_output == "all":
                self.log.warning("The executed notebook could not be read, so it is not logged: %s", executed.problem)
            result = settle(job)
        else:
            fails, output = self.unusable_results == "fail" and self.do_xcom_push, self.log_output
            result = conclude(job, executed, self.log, project=project, log_output=output, fail_on_results=fails)
        if not executed.is_missing:
            self.log.info("Executed notebook: %s", result["executed_notebook"])
        return result

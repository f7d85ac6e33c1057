"""The operator that runs the notebook of a schedule now."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from airflow.providers.common.compat.sdk import conf

from airflow_nbjobs.api.names import ResourceName, resource_name
from airflow_nbjobs.operators.operator import NotebookJobOperator
from airflow_nbjobs.operators.run import NotebookRunOperator
from airflow_nbjobs.run.argument_rules import KillPolicy
from airflow_nbjobs.run.arguments import RunArguments, check_known

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_nbjobs.service import JobService

__all__ = ["RunNotebookScheduleOperator"]


class RunNotebookScheduleOperator(NotebookRunOperator):
    """Run the notebook of a schedule now, and wait for it.

    The job is as the schedule describes it, and is shown under the schedule. The service has no method for this: the
    task creates a job, exactly once, and treats it as ``CreateNotebookExecutionJobOperator`` does. The
    schedule may be paused or completed. Returns the dict of the create operator.

    :param schedule: whole name of the schedule, its bare id (then with ``location``), or the output of a task that
        created it (templated).
    :param parameters: as of ``CreateNotebookExecutionJobOperator`` (templated). The notebook of the schedule is not
        changed.
    :param unknown_parameters: as of ``CreateNotebookExecutionJobOperator``.
    :param display_name: the readable part of the job's display name. Default: that of the schedule's jobs (templated).
    :param job_timeout: seconds, or a timedelta, after which the service ends the job (templated). Default: the
        schedule's, or the task's ``execution_timeout`` if that is shorter.
    :param capacity_retries: how often a job that got no machine is submitted again in the same try. Default ``0``.
    :param wait_for_completion: as of ``CreateNotebookExecutionJobOperator``.
    :param deferrable: wait in the triggerer. Default: ``[operators] default_deferrable``.
    :param poll_interval: seconds between two looks at the job. Default 30.
    :param retry_on_notebook_error: as of ``CreateNotebookExecutionJobOperator``.
    :param kill: as of ``CreateNotebookExecutionJobOperator``.
    :param log_output: as of ``CreateNotebookExecutionJobOperator``.
    :param unusable_results: as of ``CreateNotebookExecutionJobOperator``.
    :raises InvalidNotebookJobError: if the request is wrong in a way that can be known before it is sent, or the
        schedule runs no notebooks.
    :raises NotFoundError: if the schedule does not exist.
    :raises ApiError: if the service refuses; with the service's own words.
    :raises NotebookJobError: if the job ends in any other state than SUCCEEDED, or not in time.
    """

    template_fields: Sequence[str] = (
        *NotebookJobOperator.template_fields,
        "schedule",
        "parameters",
        "display_name",
        "job_timeout",
    )
    text_fields = (*NotebookJobOperator.text_fields, "display_name")
    template_fields_renderers = {"parameters": "json"}  # noqa: RUF012 - Airflow declares it so

    def __init__(
        self,
        *,
        schedule: str | Mapping[str, Any],
        parameters: Mapping[str, Any] | None = None,
        unknown_parameters: Literal["fail", "warn"] = "fail",
        display_name: str | None = None,
        job_timeout: float | timedelta | None = None,
        capacity_retries: int = 0,
        wait_for_completion: bool = True,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        poll_interval: float = 30,
        retry_on_notebook_error: bool = True,
        kill: KillPolicy = "cancel",
        log_output: Literal["errors", "all", "none"] = "errors",
        unusable_results: Literal["fail", "omit"] = "fail",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.schedule = schedule
        self.parameters = parameters
        self.unknown_parameters = unknown_parameters
        self.display_name = display_name
        self.job_timeout = job_timeout
        self.capacity_retries = capacity_retries
        self.wait_for_completion = wait_for_completion
        self.deferrable = deferrable
        self.poll_interval = poll_interval
        self.retry_on_notebook_error = retry_on_notebook_error
        self.kill = kill
        self.log_output = log_output
        self.unusable_results = unusable_results
        self.check_name("schedule", schedule)
        given = {name: getattr(self, name, None) for name in RunArguments.names() if hasattr(self, name)}
        self.check_early(lambda: check_known(self.parsing.known(given)))

    def run_arguments(self, context: Context) -> RunArguments:  # noqa: ARG002 - Airflow's interface
        """Return the rendered arguments as one value, at the place of the schedule."""
        name = self._name()
        known = {each: getattr(self, each) for each in RunArguments.names() if hasattr(self, each)}
        # An output of a task has the project's number: people know the id.
        project = self.project_id if name.project.isdigit() and self.project_id else name.project
        return RunArguments(**{**known, "location": name.location, "project_id": project})

    def completer(self) -> Callable[[RunArguments, JobService], RunArguments]:
        """Return what adds the job of the schedule to the arguments."""
        from airflow_nbjobs.run.scheduled import with_job_of_schedule

        return partial(with_job_of_schedule, name=str(self._name()))

    def _name(self) -> ResourceName:
        return resource_name(self.schedule, "schedules", self._parent, self.location)

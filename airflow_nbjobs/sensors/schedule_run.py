"""The sensor that waits for the run of a schedule that belongs to the task's data interval."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import AirflowFailException, AirflowSkipException

from airflow_nbjobs.api.names import ResourceName, resource_name
from airflow_nbjobs.links import publish_schedule
from airflow_nbjobs.operators.operator import NotebookJobOperator, explaining_missing
from airflow_nbjobs.run.window import Window, as_time
from airflow_nbjobs.sensors.sensor import JobSensor

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context
    from airflow.triggers.base import BaseTrigger

    from airflow_nbjobs.api.job import NotebookExecutionJob

__all__ = ["NotebookScheduleRunSensor"]

_UNKNOWN = datetime.min.replace(tzinfo=UTC)


class NotebookScheduleRunSensor(JobSensor):
    """Wait until the run of a schedule that belongs to the data interval has SUCCEEDED.

    The job counts, not the schedule: its "OK" says only that a job was created. The job is the newest one that the
    schedule, or ``RunNotebookScheduleOperator``, created in the data interval. If the interval has no such job, it is
    the first one that was created in the grace after the interval. A clear and a backfill find the same job.

    All modes (poke, reschedule, deferrable) have the same outcome. A job that ends in another state, and a schedule
    that did not run until the grace was over, fail the task without retries; with ``soft_fail`` or ``never_fail`` the
    task is skipped. Returns the dict of the create operator. The sensor never ends a job.

    A DAG with a plain cron expression has intervals without a length: its interval is then the grace alone. A run
    without a logical date, such as one that an asset starts, has no data interval: give ``interval_start`` and
    ``interval_end``.

    :param schedule: whole name of the schedule, its bare id (then with ``location``), or the output of a task that
        created it (templated).
    :param grace: a timedelta, or seconds: how long after the interval a run may start late. Default 1 hour.
    :param interval_start: instead of the start of the data interval; ISO 8601 with a time zone (templated).
    :param interval_end: instead of the end of the data interval; ISO 8601 with a time zone (templated).
    :raises AirflowFailException: if the job ends in any other state than SUCCEEDED, or the schedule did not run.
    :raises AirflowSensorTimeout: if the job does not end within ``timeout`` seconds.
    :raises InvalidNotebookJobError: if the run has no data interval and none is given, or the schedule runs no
        notebooks.
    :raises NotFoundError: if the schedule does not exist, and created no job in the interval.
    """

    template_fields: Sequence[str] = (
        *NotebookJobOperator.template_fields,
        "schedule",
        "interval_start",
        "interval_end",
    )

    def __init__(
        self,
        *,
        schedule: str | Mapping[str, Any],
        grace: timedelta | float = timedelta(hours=1),
        interval_start: datetime | str | None = None,
        interval_end: datetime | str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.schedule = schedule
        self.grace = grace
        self.interval_start = interval_start
        self.interval_end = interval_end
        self.check_name("schedule", schedule)
        self.check_arguments(interval_start=interval_start, interval_end=interval_end)
        self.check_early(self._check_window)

    def _check_window(self) -> None:
        known = self.parsing.known({"start": self.interval_start, "end": self.interval_end}, inside="interval_start")
        times = [as_time(name, known.get(name)) for name in ("start", "end")]
        start, end = times if None not in times else (_UNKNOWN, _UNKNOWN)
        Window.of(start, end, self.grace)

    def _look(self, context: Context) -> NotebookExecutionJob | None:
        from airflow_nbjobs.run.schedule_runs import find_run

        window, name = self._window(context), self._name()
        job = self.hook.run_flow(name.location, find_run(name, window), self._patience())
        if job is not None:
            self._note(job, job.name or "", context)
            return job
        self._check_may_come(name, window, context)
        return None

    def _check_may_come(self, name: ResourceName, window: Window, context: Context) -> None:
        """Check that a schedule without a job may still create one in the window."""
        from airflow_nbjobs.run.schedule_runs import why_no_run
        from airflow_nbjobs.run.scheduled import job_of

        publish_schedule(context["ti"], str(name), self._project())
        with explaining_missing():
            schedule = self.hook.schedules.get(str(name))
        job_of(schedule)
        if datetime.now(UTC) >= window.until or schedule.state == "COMPLETED":
            message = why_no_run(schedule, window)
            if self.soft_fail or self.never_fail:
                raise AirflowSkipException(message)
            raise AirflowFailException(message)
        log = self.log.warning if schedule.state == "PAUSED" else self.log.info
        log("The schedule %r, which is %s, has not run %s.", schedule.display_name, schedule.state, window)

    def _window(self, context: Context) -> Window:
        start = as_time("interval_start", self.interval_start) or context.get("data_interval_start")
        end = as_time("interval_end", self.interval_end) or context.get("data_interval_end")
        return Window.of(start, end, self.grace)

    def _name(self) -> ResourceName:
        return resource_name(self.schedule, "schedules", self._parent, self.location)

    def _project(self, job: NotebookExecutionJob | None = None) -> str:  # noqa: ARG002 - the schedule names it
        named = self._name().project
        return self.project_id or (self.hook.project_id if named.isdigit() else named)

    def _what(self) -> str:
        return f"The run of the schedule {self._name()}"

    def _trigger(self, job: NotebookExecutionJob | None, deadline: datetime, context: Context) -> BaseTrigger:
        if job is not None:
            return self._job_trigger(job.name or "", job.create_time, deadline)
        from airflow_nbjobs.schedule_trigger import NotebookScheduleRunTrigger

        window = self._window(context)
        return NotebookScheduleRunTrigger(
            schedule=str(self._name()),
            start=window.start.isoformat(),
            end=window.end.isoformat(),
            grace=window.grace.total_seconds(),
            deadline=deadline.isoformat(),
            gcp_conn_id=self.gcp_conn_id,
            impersonation_chain=self.impersonation_chain,
            poll_interval=float(self.poke_interval),
        )

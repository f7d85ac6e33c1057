"""The sensor that waits for a notebook execution job that somebody else made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, NoReturn

from airflow.providers.common.compat.sdk import (
    AirflowFailException,
    AirflowSensorTimeout,
    AirflowSkipException,
    BaseSensorOperator,
    PokeReturnValue,
    conf,
)

from airflow_nbjobs.links import publish
from airflow_nbjobs.operators.operator import closing_hook, telling_where
from airflow_nbjobs.operators.reader import NotebookJobReader

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_nbjobs.api.job import JobState, NotebookExecutionJob
    from airflow_nbjobs.deferral import Event

__all__ = ["NotebookExecutionJobSensor"]

# The trigger looks at its own deadline; Airflow's deferral timeout is the net below it, for a triggerer that is gone.
_NET = timedelta(minutes=2)


class NotebookExecutionJobSensor(NotebookJobReader, BaseSensorOperator):
    """Wait until a notebook execution job has SUCCEEDED. It never ends a job.

    Poking, rescheduled and deferred it comes to the same end. A job that ends in another state fails the task without
    retries, since no retry changes it; with ``soft_fail`` or ``never_fail`` the task is skipped. Returns the dict of
    the create operator.

    :param job_name: whole name of the job, its bare id (then with ``location``), or the output of a create task
        (templated).
    :param deferrable: wait in the triggerer. Default: ``[operators] default_deferrable``.
    :param poke_interval: seconds between two looks, in each mode. Default 30.
    :raises AirflowFailException: when the job ends in any other state than SUCCEEDED.
    :raises AirflowSensorTimeout: when it does not end within ``timeout`` seconds.
    :raises NotFoundError: when there is no such job.
    """

    template_fields: Sequence[str] = (*NotebookJobReader.template_fields, "job_name")

    def __init__(
        self,
        *,
        job_name: str | Mapping[str, Any],
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        poke_interval: float = 30,
        **kwargs: Any,
    ) -> None:
        super().__init__(poke_interval=poke_interval, **kwargs)
        self.job_name = job_name
        self.deferrable = deferrable
        self._seen: JobState | None = None

    @closing_hook
    def execute(self, context: Context) -> Any:
        """Look at the job, and wait for it here, by rescheduling, or in the triggerer."""
        self.check_reading()
        if self.deferrable:
            return self._look_or_defer(context)
        try:
            return super().execute(context)
        except AirflowSensorTimeout as error:  # Airflow's words for it name no job, and no never_fail counts
            raise self._over_time() from error

    def poke(self, context: Context) -> PokeReturnValue:
        """Look at the job once."""
        job = self._look(context)
        if not job.job_state.is_terminal:
            return PokeReturnValue(is_done=False)
        return PokeReturnValue(is_done=True, xcom_value=self._judge(job, context))

    @closing_hook
    def execute_complete(self, context: Context, event: dict[str, Any]) -> Any:
        """Resume: look at the job, whatever the event says of it."""
        from airflow_nbjobs.deferral import Event

        return self._look_or_defer(context, Event.from_payload(event))

    def _look_or_defer(self, context: Context, told: Event | None = None) -> Any:
        """Settle a job that is over, and defer for one that is not, as the poking modes treat errors and flags."""
        from airflow_nbjobs.deferral import check_agreement
        from airflow_nbjobs.exceptions import NbjobsError

        job = None
        try:
            job = self._look(context)
            if told is not None:
                check_agreement(told, job)
        except NbjobsError as error:
            if not self.silent_fail:
                if self.never_fail:
                    raise AirflowSkipException(f"Skipping due to never_fail: {error}") from error
                raise
            self.log.exception("The look failed, and silent_fail is set.")
        else:
            if job.job_state.is_terminal:
                return self._judge(job, context)
        return self._defer(context, job, told)

    def _look(self, context: Context) -> NotebookExecutionJob:
        from airflow_nbjobs.api.names import JobName
        from airflow_nbjobs.api.pacing import ENDURING
        from airflow_nbjobs.api.waiting import first_look

        # An outage is borne as long as by an operator, but not beyond the sensor's own time.
        patience = replace(ENDURING, seconds=min(ENDURING.seconds, self.timeout))
        name = self._name()
        with telling_where():
            if self._seen is not None:
                job = self.hook.get_job(name, patience=patience)
            else:  # it may have been created a moment ago, and a read may be behind that
                job = self.hook.run_flow(JobName.parse(name).location, first_look(name), patience)
        if self._seen is None:
            publish(context["ti"], job, self._project(job))
        if job.job_state != self._seen:
            self._seen = job.job_state
            self.log.info("The notebook job %s is %s.", name, self._seen.word)
        return job

    def _project(self, job: NotebookExecutionJob) -> str:
        from airflow_nbjobs.api.names import JobName

        return self.project_id or JobName.parse(job.name).project

    def _name(self) -> str:
        from airflow_nbjobs.api.names import job_name

        return job_name(self.job_name, self._parent)

    def _judge(self, job: NotebookExecutionJob, context: Context) -> dict[str, Any]:
        """Settle a job that is over; the flags are looked at here, since Airflow's base does not in each mode."""
        from airflow_nbjobs.exceptions import NotebookJobError

        try:
            return self.conclude(job, self.look_for_executed(job), self._project(job), context)
        except NotebookJobError as error:
            if self.soft_fail or self.never_fail:
                raise AirflowSkipException(str(error)) from error
            raise AirflowFailException(str(error)) from error

    def _over_time(self) -> AirflowSensorTimeout | AirflowSkipException:
        last = f"; it was {self._seen.word} when last looked at" if self._seen else ""
        message = f"The notebook job {self._name()} was not over within timeout={self.timeout:g} seconds{last}."
        return AirflowSkipException(message) if self.soft_fail or self.never_fail else AirflowSensorTimeout(message)

    def _defer(self, context: Context, job: NotebookExecutionJob | None, told: Event | None) -> NoReturn:
        from airflow_nbjobs.triggers import NotebookExecutionJobTrigger

        # A resumed task keeps the first deferral's deadline: on Airflow 3.1 its start_date is the moment of resuming.
        deadline = (told and told.ends_at) or context["ti"].start_date + timedelta(seconds=self.timeout)
        remaining = deadline - datetime.now(UTC)
        if remaining <= timedelta(0) or (told is not None and told.outcome == "timeout"):
            raise self._over_time()
        trigger = NotebookExecutionJobTrigger(
            job_name=self._name(),
            created_at=job.create_time.isoformat() if job is not None and job.create_time else None,
            deadline=deadline.isoformat(),
            gcp_conn_id=self.gcp_conn_id,
            impersonation_chain=self.impersonation_chain,
            poll_interval=float(self.poke_interval),
        )
        self.defer(trigger=trigger, method_name="execute_complete", timeout=remaining + _NET)

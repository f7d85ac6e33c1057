"""What sensors that wait for a job have in common: modes, flags, timeout and result."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal, NoReturn

from airflow.providers.common.compat.sdk import (
    AirflowFailException,
    AirflowSensorTimeout,
    AirflowSkipException,
    BaseSensorOperator,
    PokeReturnValue,
    conf,
)

from airflow_nbjobs.api.pacing import ENDURING, Patience
from airflow_nbjobs.exceptions import NbjobsError, NotebookJobError
from airflow_nbjobs.links import publish, publish_executed
from airflow_nbjobs.operators.operator import NotebookJobOperator, entry_point
from airflow_nbjobs.outlets import publish_outlets
from airflow_nbjobs.run.deferral import DEFERRAL_MARGIN

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context
    from airflow.triggers.base import BaseTrigger

    from airflow_nbjobs.api.job import JobState, NotebookExecutionJob
    from airflow_nbjobs.run.note import Event
    from airflow_nbjobs.run.result import ResultReader

__all__ = ["JobSensor"]


class JobSensor(NotebookJobOperator, BaseSensorOperator):
    """Wait until a notebook execution job has SUCCEEDED. The sensor never ends a job.

    :param deferrable: wait in the triggerer. Default: ``[operators] default_deferrable``.
    :param poke_interval: seconds between two looks, in each mode. Default 30.
    :param log_output: as of ``CreateNotebookExecutionJobOperator``.
    :param unusable_results: as of ``CreateNotebookExecutionJobOperator``.
    """

    def __init__(
        self,
        *,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        poke_interval: float = 30,
        log_output: Literal["errors", "all", "none"] = "errors",
        unusable_results: Literal["fail", "omit"] = "fail",
        **kwargs: Any,
    ) -> None:
        super().__init__(poke_interval=poke_interval, **kwargs)
        self.deferrable = deferrable
        self.log_output = log_output
        self.unusable_results = unusable_results
        self._seen: JobState | None = None
        self.check_arguments(
            deferrable=deferrable,
            poke_interval=self.poke_interval,
            log_output=log_output,
            unusable_results=unusable_results,
        )

    @abstractmethod
    def _look(self, context: Context) -> NotebookExecutionJob | None:
        """Return the job as it is now, and publish its links; ``None`` if it does not exist yet."""

    @abstractmethod
    def _project(self, job: NotebookExecutionJob | None = None) -> str:
        """Return the project that links lead to.

        :param job: what is waited for, if it is known.
        """

    @abstractmethod
    def _what(self) -> str:
        """Return what is waited for, as the subject of a sentence."""

    @abstractmethod
    def _trigger(self, job: NotebookExecutionJob | None, deadline: datetime, context: Context) -> BaseTrigger:
        """Return what waits in the triggerer.

        :param job: as it was seen; ``None`` if it was not.
        :param deadline: when to stop waiting.
        """

    @entry_point
    def execute(self, context: Context) -> Any:
        """Look at the job, and wait for it here, by rescheduling, or in the triggerer."""
        if self.deferrable:
            return self._look_or_defer(context)
        try:
            return super().execute(context)
        except AirflowSensorTimeout as error:  # Airflow's message names no job, and ignores never_fail
            raise self._over_time() from error

    def poke(self, context: Context) -> PokeReturnValue:
        """Look at the job once."""
        job = self._look(context)
        if job is None or not job.job_state.is_terminal:
            return PokeReturnValue(is_done=False)
        return PokeReturnValue(is_done=True, xcom_value=self._conclude(job, context))

    @entry_point
    def execute_complete(self, context: Context, event: dict[str, Any]) -> Any:
        """Resume: read the job, since the event is only a hint."""
        from airflow_nbjobs.run.note import Event

        return self._look_or_defer(context, Event.from_payload(event))

    def _look_or_defer(self, context: Context, event: Event | None = None) -> Any:
        """Finish with a job that has ended, and defer otherwise; errors and flags count as in the poking modes."""
        from airflow_nbjobs.run.note import check_agreement

        job = None
        try:
            job = self._look(context)
            if event is not None and job is not None:
                check_agreement(event, job)
            elif event is not None:
                self._check_asked(event)
        except NbjobsError as error:
            if not self.silent_fail:
                if self.never_fail:
                    raise AirflowSkipException(f"Skipping due to never_fail: {error}") from error
                raise
            self.log.exception("Failed to look at the job, and silent_fail is set.")
        else:
            if job is not None and job.job_state.is_terminal:
                return self._conclude(job, context)
        return self._defer(context, job, event)

    def _check_asked(self, event: Event) -> None:
        """Check that the triggerer could look for a job that is not there.

        :raises NbjobsError: if it could not.
        """
        if event.outcome == "error":
            raise NbjobsError(
                f"{self._what()} was not found, and the triggerer could not ask the service: {event.reason}"
            )

    def _patience(self) -> Patience:
        """Return the patience of an operator, but none beyond the sensor's own timeout."""
        return replace(ENDURING, seconds=min(ENDURING.seconds, self.timeout))

    def _note(self, job: NotebookExecutionJob, name: str, context: Context) -> None:
        """Publish the links of a job that is seen for the first time, and log its state when it has changed."""
        if self._seen is None:
            publish(context["ti"], job, self._project(job))
        if job.job_state != self._seen:
            self._seen = job.job_state
            self.log.info("The notebook job %s is %s.", name, self._seen.word)

    def _conclude(self, job: NotebookExecutionJob, context: Context) -> dict[str, Any]:
        """Return the result of a job that has ended. Airflow's base class does not handle the flags in each mode."""
        project, reader = self._project(job), self._reader()
        try:
            executed = reader.find(job)
            if executed.uri is not None:
                publish_executed(context["ti"], job, project, executed.uri)
            concluded = reader.conclude(job, executed, project)
        except NotebookJobError as error:
            if self.soft_fail or self.never_fail:
                raise AirflowSkipException(str(error)) from error
            raise AirflowFailException(str(error)) from error
        publish_outlets(
            context, concluded, self.log, generation=executed.generation, has_executed=not executed.is_missing
        )
        return concluded

    def _reader(self) -> ResultReader:
        from airflow_nbjobs.run.result import ResultReader

        return ResultReader(
            hook=self.hook,
            log=self.log,
            log_output=self.log_output,
            unusable_results=self.unusable_results,
            has_results=self.do_xcom_push,
        )

    def _over_time(self) -> AirflowSensorTimeout | AirflowSkipException:
        last = f"; its last state was {self._seen.word}" if self._seen else ""
        message = f"{self._what()} did not end within timeout={self.timeout:g} seconds{last}."
        return AirflowSkipException(message) if self.soft_fail or self.never_fail else AirflowSensorTimeout(message)

    def _defer(self, context: Context, job: NotebookExecutionJob | None, event: Event | None) -> NoReturn:
        # A resumed task keeps its first deadline: on Airflow 3.1 its start_date is the moment of resuming.
        deadline = (event and event.ends_at) or context["ti"].start_date + timedelta(seconds=self.timeout)
        remaining = deadline - datetime.now(UTC)
        if remaining <= timedelta(0) or (event is not None and event.outcome == "timeout"):
            raise self._over_time()
        trigger = self._trigger(job, deadline, context)
        self.defer(trigger=trigger, method_name="execute_complete", timeout=remaining + DEFERRAL_MARGIN)

    def _job_trigger(self, name: str, created_at: datetime | None, deadline: datetime) -> BaseTrigger:
        from airflow_nbjobs.triggers import NotebookExecutionJobTrigger

        return NotebookExecutionJobTrigger(
            job_name=name,
            created_at=created_at.isoformat() if created_at else None,
            deadline=deadline.isoformat(),
            gcp_conn_id=self.gcp_conn_id,
            impersonation_chain=self.impersonation_chain,
            poll_interval=float(self.poke_interval),
        )

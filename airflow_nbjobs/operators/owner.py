"""An operator that owns a remote job: it submits it once, waits for it, and ends it when nobody wants it any more."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, NoReturn

from airflow.providers.common.compat.sdk import conf

from airflow_nbjobs.links import publish
from airflow_nbjobs.operators.operator import NotebookJobOperator, closing_hook

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_nbjobs.api.client import Conversation
    from airflow_nbjobs.api.ending import KillPolicy
    from airflow_nbjobs.api.job import NotebookExecutionJob
    from airflow_nbjobs.deferral import Held
    from airflow_nbjobs.exceptions import NotebookJobGoneError
    from airflow_nbjobs.submission import TaskIdentity

__all__ = ["NotebookJobOwner"]

# The trigger looks at its own deadline; Airflow's deferral timeout is the net below it, for a triggerer that is gone.
_NET = timedelta(minutes=2)


class NotebookJobOwner(NotebookJobOperator):
    """Submitting a job once, waiting for it and ending it.

    :param deferrable: wait in the triggerer. Default: ``[operators] default_deferrable``.
    :param poll_interval: seconds between two looks at the job. Default 30; a run takes minutes to begin.
    :param kill: what becomes of the job when its task is killed, runs out of time, or fails with no retry left. Default
        ``"cancel"``: its create operation is cancelled, and the job deleted if that does not end it. ``"delete"``
        deletes it, ``"leave"`` lets it run.
    """

    def __init__(
        self,
        *,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        poll_interval: float = 30,
        kill: KillPolicy = "cancel",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.deferrable = deferrable
        self.poll_interval = poll_interval
        self.kill = kill
        self._asked: NotebookExecutionJob | None = None
        self._held: Held | None = None
        self._is_killed = False

    def check_waiting(self) -> None:
        """Check the arguments that nothing looks at until it is too late.

        :raises InvalidNotebookJobError: naming the argument, its value and the remedy.
        """
        from airflow_nbjobs.api.ending import check_kill_policy
        from airflow_nbjobs.api.pacing import positive_seconds

        check_kill_policy(self.kill)
        positive_seconds("poll_interval", self.poll_interval)

    def start(self, context: Context, *, anew: bool = False) -> dict[str, Any]:
        """Submit what the operator is for, and wait for it.

        :param anew: adopt nothing.
        """
        raise NotImplementedError

    def submit(
        self, job: NotebookExecutionJob, task: TaskIdentity, job_ids: Iterable[str | None], context: Context
    ) -> NotebookExecutionJob:
        """Submit the job or adopt the one that there is, publish it, and return it as the service has it."""
        from airflow_nbjobs.adoption import submit
        from airflow_nbjobs.api.ending import check_kill_policy
        from airflow_nbjobs.api.pacing import ENDURING
        from airflow_nbjobs.api.waiting import first_look
        from airflow_nbjobs.deferral import JOB_XCOM, Held
        from airflow_nbjobs.exceptions import NotebookJobError, NotFoundError
        from airflow_nbjobs.settle import describe

        self._asked, self._held = job, None
        kill = check_kill_policy(self.kill)
        submitting = submit(self._parent(), job, task, kill, job_ids=job_ids, tell=self.log.warning)
        submitted = self.hook.follow(self.location or "", submitting, ENDURING)
        name = submitted.job.name or ""
        self._held = Held(name=name, operation_name=submitted.operation_name, is_adopted=submitted.is_adopted)
        if self._is_killed:  # while the answer was on its way
            raise NotebookJobError(f"The task was killed; {name} {self._end()}.", job_name=name)
        with self._answering_for(context):
            context["ti"].xcom_push(key=JOB_XCOM, value=self._held.to_payload())
            publish(context["ti"], submitted.job, self.project_id or self.hook.project_id)
            made = "was re-attached to" if submitted.is_adopted else "was submitted"
            self.log.info("%s %s: %s", describe(submitted.job), made, name)
            try:
                return self.hook.follow(self.location or "", first_look(name))
            except NotFoundError as error:
                raise self._gone(error) from error

    def wait(self, job: NotebookExecutionJob, context: Context) -> dict[str, Any]:
        """Wait for the job, here or in the triggerer, and settle it."""
        from airflow_nbjobs.api.pacing import ENDURING
        from airflow_nbjobs.api.waiting import wait_for_job
        from airflow_nbjobs.exceptions import NotFoundError

        if self.deferrable and not job.job_state.is_terminal:
            self._defer(job, context)
        waiting = wait_for_job(job, float(self.poll_interval), changed=self._log_change)
        with self._answering_for(context):
            try:
                ended = self.hook.follow(self.location or "", waiting, ENDURING)
            except NotFoundError as error:
                return self._settle_gone(error, context)
        return self._settle(ended, context)

    def _settle(self, job: NotebookExecutionJob, context: Context) -> dict[str, Any]:
        from airflow_nbjobs.api.job import JobState
        from airflow_nbjobs.settle import settle

        if self._held is not None and self._held.is_adopted and job.job_state == JobState.CANCELLED:
            return self._replace(f"{job.name} was cancelled", context)
        return settle(job)

    def _settle_gone(self, error: Exception, context: Context) -> dict[str, Any]:
        if self._held is not None and self._held.is_adopted:
            return self._replace(f"{self._held.name} disappeared", context)
        raise self._gone(error) from error

    def _gone(self, error: Exception) -> NotebookJobGoneError:
        from airflow_nbjobs.exceptions import NotebookJobGoneError

        name = self._held.name if self._held else ""
        return NotebookJobGoneError(
            f"The notebook job {name} was made and is not there any more: was it deleted? Do all workers and the "
            f"triggerer have the same NBJOBS_EMULATOR_HOST? {error}",
            job_name=name,
        )

    def _replace(self, what: str, context: Context) -> dict[str, Any]:
        # Clearing a running task looks like a retry: its old worker may have ended the job after we re-attached to it.
        self.log.warning("The job that the task re-attached to, %s: it is replaced, once.", what)
        return self.start(context, anew=True)

    def _log_change(self, job: NotebookExecutionJob) -> None:
        from airflow_nbjobs.settle import describe

        self.log.info("%s is %s.", describe(job), job.job_state.word)

    def _defer(self, job: NotebookExecutionJob, context: Context) -> NoReturn:
        from airflow_nbjobs.triggers import NotebookExecutionJobTrigger

        deadline = self._deadline(context)
        trigger = NotebookExecutionJobTrigger(
            job_name=job.name or "",
            operation_name=self._held.operation_name if self._held else None,
            created_at=job.create_time.isoformat() if job.create_time else None,
            deadline=deadline.isoformat() if deadline else None,
            kill=self.kill,
            gcp_conn_id=self.gcp_conn_id,
            impersonation_chain=self.impersonation_chain,
            poll_interval=float(self.poll_interval),
        )
        net = None if deadline is None else max(deadline - datetime.now(deadline.tzinfo), timedelta(0)) + _NET
        self.defer(trigger=trigger, method_name="execute_complete", timeout=net)

    def _deadline(self, context: Context) -> datetime | None:
        """Return when ``execution_timeout`` is over: Airflow itself does not bound a deferral by it."""
        if self.execution_timeout is None:
            return None
        return context["ti"].start_date + self.execution_timeout

    def execute_complete(self, context: Context, event: dict[str, Any]) -> dict[str, Any]:
        """Resume: look at the job, whatever the event says of it, and settle or wait on."""
        from airflow_nbjobs.api.pacing import ENDURING
        from airflow_nbjobs.api.waiting import first_look
        from airflow_nbjobs.deferral import Event, Held, check_agreement
        from airflow_nbjobs.exceptions import NotFoundError

        told = Event.from_payload(event, self.location)
        told_of = Held(name=told.job_name, operation_name=told.operation_name, is_adopted=False)
        kept = self._kept(context)
        self._held = kept if kept is not None and kept.is_of(told.job_name) else told_of
        with self._answering_for(context):
            try:
                job = self.hook.follow(self.location or "", first_look(told.job_name), ENDURING)
            except NotFoundError as error:
                return self._settle_gone(error, context)
            if told.outcome == "timeout" and not job.job_state.is_terminal:
                self._time_out(job)
            check_agreement(told, job)
        return self.wait(job, context)

    def _time_out(self, job: NotebookExecutionJob) -> NoReturn:
        from airflow_nbjobs.exceptions import NotebookJobTimeoutError
        from airflow_nbjobs.settle import describe

        raise NotebookJobTimeoutError(
            f"{describe(job)} was still {job.job_state.word} when execution_timeout={self.execution_timeout} was over; "
            f"it {self._end(patiently=True)}. The job: {job.name}",
            job_name=job.name or "",
            state=job.job_state.value,
        )

    @closing_hook
    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Context) -> Any:
        """Resume; where Airflow resumes the task only to fail it, see to the job first."""
        # Airflow calls no on_kill on this way out. Seen in 3.1.8 and 3.3.2, `BaseOperator.resume_execution`.
        if next_method == "__fail__":
            self._held = self._kept(context)
            name = self._held.name if self._held else "its remote job"
            if (next_kwargs or {}).get("error") == "Trigger timeout":
                self.log.error("The deferral timed out; %s %s.", name, self._end(patiently=True))
            else:
                self.log.error("The trigger failed; %s %s.", name, self._leave_or_end(context))
        return super().resume_execution(next_method, next_kwargs, context)

    def _kept(self, context: Context) -> Held | None:
        from airflow_nbjobs.deferral import JOB_XCOM, Held

        ti = context["ti"]
        return Held.from_payload(ti.xcom_pull(key=JOB_XCOM, task_ids=ti.task_id, map_indexes=ti.map_index))

    @contextmanager
    def _answering_for(self, context: Context) -> Iterator[None]:
        """Between submitting and settling, say of every failure what it means for the job."""
        from airflow_nbjobs.exceptions import (
            NotebookJobError,
            NotebookJobFailedError,
            NotebookJobGoneError,
            NotebookJobTimeoutError,
        )

        try:
            yield
        except (NotebookJobFailedError, NotebookJobGoneError, NotebookJobTimeoutError):
            raise  # the job is over, or was dealt with
        except Exception as error:
            name = self._held.name if self._held else ""
            raise NotebookJobError(f"{error} The job {name} {self._leave_or_end(context)}.", job_name=name) from error

    def _leave_or_end(self, context: Context) -> str:
        """While a retry is left the job goes on; afterwards nobody would wait for it."""
        ti = context["ti"]
        if ti.try_number <= ti.max_tries:
            return "goes on, and the retry re-attaches to it"
        return f"{self._end(patiently=True)}, since no retry is left"

    def on_kill(self) -> None:
        """End the job by the kill policy; Airflow kills the process five seconds later."""
        self._is_killed = True
        if self._held is not None or self._asked is not None:
            name = self._held.name if self._held else "the job that was being submitted"
            self.log.info("The task is killed: %s %s.", name, self._end())

    def _end(self, *, patiently: bool = False) -> str:
        """End the job that is held or was asked for, and return what became of it, as the rest of a sentence."""
        from airflow_nbjobs.api.pacing import BRISK, PATIENT
        from airflow_nbjobs.exceptions import NbjobsError

        try:
            # Its own client: a signal can arrive in the middle of any request of the other one, which holds its locks.
            with self.hook.new_client(self.location or "") as client:
                return client.follow(self._ending(), PATIENT if patiently else BRISK)
        except NbjobsError as error:
            return f"could not be ended and may still run ({error})"

    def _ending(self) -> Conversation[str]:
        from airflow_nbjobs.adoption import end_submitted
        from airflow_nbjobs.api.ending import check_kill_policy, end_job

        kill = check_kill_policy(self.kill)
        if self._held is not None:
            return end_job(self._held.name, self._held.operation_name, kill)
        if self._asked is not None:
            return end_submitted(self._parent(), self._asked, kill)
        return _unknown()


def _unknown() -> Conversation[str]:
    return "is not known, and may still run"
    yield  # a conversation without a word

"""An operator that owns a remote job: it submits it once, waits for it, and settles it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, NoReturn

from airflow.providers.common.compat.sdk import AirflowFailException, conf

from airflow_nbjobs.links import publish
from airflow_nbjobs.operators.renewer import NotebookJobRenewer

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_nbjobs.api.job import NotebookExecutionJob
    from airflow_nbjobs.deferral import Event
    from airflow_nbjobs.submission import TaskIdentity

__all__ = ["NotebookJobOwner"]

# The trigger looks at its own deadline; Airflow's deferral timeout is the net below it, for a triggerer that is gone.
_NET = timedelta(minutes=2)


class NotebookJobOwner(NotebookJobRenewer):
    """Submitting a job once, waiting for it and settling it.

    :param deferrable: wait in the triggerer. Default: ``[operators] default_deferrable``.
    :param poll_interval: seconds between two looks at the job. Default 30; a run takes minutes to begin.
    :param retry_on_notebook_error: use the task's retries when a cell raised. Default ``True``; with ``False`` such a
        failure is final, since a bug that is there again is paid for again; a retry that Airflow begins all the same,
        for a task that it took for dead, reads that job's notebook and runs none.
    :param keep_staged: keep the copy of a large notebook that was put into Cloud Storage to be run. Default ``False``:
        it is deleted when the task has seen its job end. A task that is killed, or does not wait, leaves it; pruning
        deletes it with its job's record.
    """

    def __init__(
        self,
        *,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        poll_interval: float = 30,
        retry_on_notebook_error: bool = True,
        keep_staged: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.deferrable = deferrable
        self.poll_interval = poll_interval
        self.retry_on_notebook_error = retry_on_notebook_error
        self.keep_staged = keep_staged
        self._had_failed = False

    def check_waiting(self) -> None:
        """Check the arguments that nothing looks at until it is too late.

        :raises InvalidNotebookJobError: naming the argument, its value and the remedy.
        """
        from airflow_nbjobs.api.ending import check_kill_policy
        from airflow_nbjobs.api.pacing import positive_seconds

        self.check_reading()
        check_kill_policy(self.kill)
        positive_seconds("poll_interval", self.poll_interval)

    @property
    def takes_failed(self) -> bool:
        """Whether a retry looks why the job before it has FAILED, instead of submitting anew at once.

        A cell that raised is final with ``retry_on_notebook_error=False``, and Airflow may retry all the same: it takes
        a task for dead that it has lost track of, while that reads its executed notebook.
        """
        return not self.retry_on_notebook_error

    def submit(
        self, job: NotebookExecutionJob, task: TaskIdentity, job_ids: Iterable[str | None], context: Context
    ) -> NotebookExecutionJob:
        """Submit the job or adopt the one that there is, publish it, and return it as the service has it."""
        from airflow_nbjobs.adoption import submit
        from airflow_nbjobs.api.ending import check_kill_policy
        from airflow_nbjobs.api.job import JobState
        from airflow_nbjobs.api.pacing import ENDURING
        from airflow_nbjobs.deferral import JOB_XCOM, Held
        from airflow_nbjobs.exceptions import NotebookJobError, NotFoundError
        from airflow_nbjobs.settle import describe
        from airflow_nbjobs.submission import attempt_of

        self._check_not_killed()
        self._asked, self._held, self._context = job, None, context
        kill = check_kill_policy(self.kill)
        submitting = submit(
            self._parent(),
            job,
            task,
            kill,
            job_ids=job_ids,
            takes_failed=self.takes_failed,
            tell=self.log.warning,
            check=self._check_not_killed,
        )
        with self._advising(context):
            submitted = self.hook.run_flow(self.location or "", submitting, ENDURING)
        self._had_failed = submitted.is_adopted and submitted.job.job_state == JobState.FAILED
        name = submitted.job.name or ""
        self._held = Held(
            name=name,
            operation_name=submitted.operation_name,
            is_adopted=submitted.is_adopted,
            attempt=attempt_of(submitted.job),
        )
        if self._is_killed:  # while the answer was on its way
            raise NotebookJobError(f"The task was killed; {name} {self._spare_or_end()}.", job_name=name)
        with self._answering_for(context):
            context["ti"].xcom_push(key=JOB_XCOM, value=self._held.to_payload())
            publish(context["ti"], submitted.job, self.project_id or self.hook.project_id)
            made = "was re-attached to" if submitted.is_adopted else "was submitted"
            self.log.info("%s %s: %s", describe(submitted.job), made, name)
            if submitted.is_adopted:
                return submitted.job  # it was just seen; should it disappear, it is replaced
            try:
                return self._look(name)
            except NotFoundError as error:
                raise self._gone(error, context) from error

    @contextmanager
    def _advising(self, context: Context) -> Iterator[None]:
        """Say what to do about a refusal that is known, and what a lost answer means."""
        from airflow_nbjobs.exceptions import ApiError, LostAnswerError, NotebookJobError
        from airflow_nbjobs.hints import hint_for

        try:
            yield
        except ApiError as error:
            if not error.is_transient and (hint := hint_for(str(error))):
                self.log.error("%s", hint)
            raise
        except LostAnswerError as error:
            failure = NotebookJobError(str(error), job_name="")
            failure.__cause__ = error
            became = self._leave_or_end(context, failure)
            raise NotebookJobError(f"{failure} Its job, if there is one, {became}.", job_name="") from error

    def wait(self, job: NotebookExecutionJob, context: Context) -> dict[str, Any]:
        """Wait for the job, here or in the triggerer, and settle it."""
        from airflow_nbjobs.api.pacing import ENDURING
        from airflow_nbjobs.api.waiting import wait_for_job
        from airflow_nbjobs.exceptions import NotFoundError

        gone: NotFoundError | None = None
        with self._answering_for(context):
            if self.deferrable and not job.job_state.is_terminal:
                self._defer(job, context)
            self._log_state(job)
            waiting = wait_for_job(job, float(self.poll_interval), changed=self._log_state)
            try:
                ended = self.hook.run_flow(self.location or "", waiting, ENDURING)
            except NotFoundError:
                try:
                    # As a resumed task does when its trigger does not find the job: not found once is not gone.
                    ended = self._look(job.name or "")
                except NotFoundError as error:
                    gone = error
        if gone is not None:
            return self._settle_gone(gone, context)
        return self._settle(ended, context) if ended.job_state.is_terminal else self.wait(ended, context)

    def _settle(self, job: NotebookExecutionJob, context: Context) -> dict[str, Any]:
        from airflow_nbjobs.api.job import JobState
        from airflow_nbjobs.exceptions import NotebookJobFailedError
        from airflow_nbjobs.hints import is_capacity
        from airflow_nbjobs.settle import reason

        held = self._held
        self.tidy(job)
        why_not = ""
        was_ended = held is not None and held.is_adopted and job.job_state == JobState.CANCELLED
        if was_ended and not (why_not := self.why_not_again(context)):
            return self._replace(f"{job.name} was cancelled", context)
        executed = self.look_for_executed(job)
        # FAILED alone: in any other state somebody, or the job's own time, has ended it while it waited for a machine.
        is_refused = job.job_state == JobState.FAILED and executed.uri is None and is_capacity(job.status)
        if is_refused and not self._had_failed:
            attempt, attempts = held.attempt if held else 0, self.attempts()
            if not attempts.allows(attempt + 1):
                why_not = attempts.sum_up(attempt)
            elif not executed.is_missing:
                why_not = f"It is not submitted again, since it is not known whether cells ran: {executed.problem}"
            elif not (why_not := self.why_not_again(context)):
                self.log.warning(
                    "%s got no machine: %s. %s.", job.name, reason(job).rstrip(". "), attempts.announce(attempt + 1)
                )
                return self.start(context, anew=True, attempt=attempt + 1)
        try:
            return self.conclude(job, executed, self.project_id or self.hook.project_id, context)
        except NotebookJobFailedError as error:
            if error.cell is not None and not self.retry_on_notebook_error:
                raise AirflowFailException(f"{error} (No retry: retry_on_notebook_error=False.)") from error
            if self._had_failed and not (executed.is_missing or executed.outcome):
                why_not = f"It is not submitted anew, since it is not known whether a cell raised: {executed.problem}"
            elif self._had_failed:
                self.log.info("%s had FAILED before this try, and no cell of it: it is submitted anew.", job.name)
                return self.start(context, anew=True)
            if why_not:
                raise NotebookJobFailedError(
                    f"{error} ({why_not})", job_name=error.job_name, state=error.state
                ) from error
            raise

    def tidy(self, job: NotebookExecutionJob) -> None:
        """Delete the notebook that was staged for a job, by whichever try."""
        from airflow_nbjobs.preparation import tidy

        if not self.keep_staged:
            tidy(job, self.hook, self.log.warning)

    def _log_state(self, job: NotebookExecutionJob) -> None:
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

    def execute_complete(self, context: Context, event: dict[str, Any]) -> dict[str, Any]:
        """Resume: look at the job, whatever the event says of it, and settle or wait on."""
        with self._succeeding(context):  # a job that disappeared is replaced
            return self._complete(context, event)

    def _complete(self, context: Context, event: dict[str, Any]) -> dict[str, Any]:
        from airflow_nbjobs.deferral import Event, check_agreement
        from airflow_nbjobs.exceptions import NotFoundError

        # The task's own note is to be trusted more than an event that went through a database.
        kept = self._kept(context)
        self._held = kept
        gone: NotFoundError | None = None
        with self._answering_for(context):
            told = Event.from_payload(event, self._parent())
            # The triggerer's clock may be ahead of this one.
            self._ends_at = datetime.now(UTC) if told.outcome == "timeout" else told.ends_at
            name = kept.name if kept else told.job_name
            try:
                job = self._look(name)
            except NotFoundError as error:
                if kept is None:
                    raise
                gone = error
            else:
                if kept is None:
                    self._hold_told(told, job, context)
                if told.outcome == "timeout" and not job.job_state.is_terminal:
                    self._time_out(job)
                check_agreement(told, job)
        return self.wait(job, context) if gone is None else self._settle_gone(gone, context)

    def _hold_told(self, told: Event, job: NotebookExecutionJob, context: Context) -> None:
        """Hold the job that an event names, for want of a note.

        :raises NbjobsError: when it is another task's.
        """
        from airflow_nbjobs.deferral import Held
        from airflow_nbjobs.exceptions import NbjobsError
        from airflow_nbjobs.operators.request import task_identity
        from airflow_nbjobs.submission import attempt_of, is_of_task

        name, operation = told.job_name, told.operation_name
        if not is_of_task(job, task_identity(context).key):
            raise NbjobsError(f"The trigger's event is about {name}, which is not this task's job.")
        self._held = Held(name=name, operation_name=operation, is_adopted=False, attempt=attempt_of(job))

    def _time_out(self, job: NotebookExecutionJob) -> NoReturn:
        from airflow_nbjobs.exceptions import NotebookJobTimeoutError
        from airflow_nbjobs.settle import describe

        raise NotebookJobTimeoutError(
            f"{describe(job)} was still {job.job_state.word} when execution_timeout={self.execution_timeout} was over; "
            f"it {self._end()}. The job: {job.name}",
            job_name=job.name or "",
            state=job.job_state.value,
        )

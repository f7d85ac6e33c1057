"""One notebook run: submit, wait, resume, cancel, finish. It has the parts, and knows their order."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from airflow_nbjobs.api.job import JobState, NotebookExecutionJob
from airflow_nbjobs.api.pacing import ENDURING
from airflow_nbjobs.api.waiting import first_look, wait_for_job
from airflow_nbjobs.exceptions import NotebookJobFailedError, NotFoundError
from airflow_nbjobs.run.deadline import Deadline
from airflow_nbjobs.run.deferral import Deferral
from airflow_nbjobs.run.finish import Again, Fail, FinishPolicy, Step, SubmitAgain, next_step
from airflow_nbjobs.run.html_page import PageWriter
from airflow_nbjobs.run.kill import Kill
from airflow_nbjobs.run.note import Event, JobNote, check_agreement
from airflow_nbjobs.run.own_job import OwnJob
from airflow_nbjobs.run.result import Executed, ResultReader
from airflow_nbjobs.run.staging import unstage
from airflow_nbjobs.run.submitter import Submitter
from airflow_nbjobs.run.summary import describe, result, why_again, why_not_again

if TYPE_CHECKING:
    from airflow_nbjobs.run.arguments import RunArguments
    from airflow_nbjobs.run.task import TaskContext
    from airflow_nbjobs.service import JobService

__all__ = ["NotebookRun"]


class NotebookRun:
    """The run of one notebook for one try of a task.

    :param arguments: the rendered arguments.
    :param task: the task around the run.
    :param connect: returns the hook, always the same one.
    :param log: the task's logger, or what stands in for it at a terminal.
    :param is_resumed: whether the task was deferred, and :meth:`resume` follows.
    :param complete: adds to the arguments what has to be read with the hook for each submission; by default nothing.
    :ivar job: the job as it was read last; ``None`` until there is one.
    :ivar executed: its executed notebook; ``None`` until the job has ended.
    """

    def __init__(
        self,
        arguments: RunArguments,
        task: TaskContext,
        connect: Callable[[], JobService],
        log: Any,
        *,
        is_resumed: bool = False,
        complete: Callable[[RunArguments, JobService], RunArguments] = lambda arguments, _: arguments,
    ) -> None:
        self._arguments = arguments
        self._task = task
        self._connect = connect
        self._log = log
        self._deadline = Deadline.of(arguments.execution_timeout, task.started_at)
        self._own = OwnJob(
            connect,
            kill=arguments.kill,
            location=arguments.location or "",
            project_id=arguments.project_id,
            task=task,
            is_resumed=is_resumed,
            log=log,
        )
        self._kill = Kill(self._own, task)
        self._submitter = Submitter(arguments, task, connect, self._own, self._kill, log, complete)
        self._had_failed = False
        self._running_since: datetime | None = None
        self.job: NotebookExecutionJob | None = None
        self.executed: Executed | None = None

    def start(self) -> dict[str, Any] | Deferral:
        """Submit the notebook or adopt the job that exists, and wait for it.

        :returns: the task's result, or what the task needs to defer.
        :raises InvalidNotebookJobError: if an argument is wrong.
        :raises ApiError: if the service refuses the job.
        :raises CredentialsError: if there is no token.
        :raises NotebookJobError: if the job does not end as SUCCEEDED, or not in time.
        :raises AirflowFailException: in its place, if ``retry_on_notebook_error`` excludes a retry.
        """
        with self._own.ending_earlier_jobs_on_error():
            self._arguments.check()
            job = self.job = self._submit(may_adopt=True, attempt=0)
            if self._arguments.wait_for_completion:
                return self._wait_and_finish(job)
            self._task.publish_outlets(result(job), None, self._log)
            return result(job)

    def resume(self, event: object) -> dict[str, Any] | Deferral:
        """Resume after a deferral: read the job, since the event is only a hint, and finish or wait again.

        :param event: the payload of the trigger's event.
        :returns: as :meth:`start`, which also lists the errors.
        """
        with self._own.ending_earlier_jobs_on_error():
            # The task's own note is more trustworthy than an event that went through a database.
            self._hold(self._task.read_note(self._log))
            with self._own.ending_job_on_error():
                came = self._accept(event)
                job = self._job_of(came)
                if job is not None:
                    self._check_goes_on(came, job)
                    self._running_since = came.ran_from
            return self._wait_and_finish(job)

    def _accept(self, payload: object) -> Event:
        """Parse an event, and take over the deadline that it carries."""
        parent = self._connect().parent(self._arguments.location or "", self._arguments.project_id)
        event = Event.from_payload(payload, parent)
        # A timeout is over now: the triggerer's clock may be ahead of this one.
        self._deadline = self._deadline.kept_at(datetime.now(UTC) if event.outcome == "timeout" else event.ends_at)
        return event

    def _job_of(self, event: Event) -> NotebookExecutionJob | None:
        """Read the job of an event and take note of it; ``None`` if it no longer exists."""
        try:
            job = self.job = self._read_job(self._own.name or event.job_name)
        except NotFoundError:
            if self._own.note is None:
                raise
            return None
        self._task.remember_links(job, self._project())
        if self._own.note is None:
            self._hold(JobNote.of_event(event, job, self._task.identity.key))
        return job

    def _check_goes_on(self, event: Event, job: NotebookExecutionJob) -> None:
        """Check that the task may wait on, if its job has not ended."""
        if event.outcome == "timeout" and not job.job_state.is_terminal:
            raise self._own.timed_out(job, self._arguments.execution_timeout)
        check_agreement(event, job)

    def fail_deferral(self, error: Exception, *, is_timeout: bool) -> None:
        """End the job, or leave it to the retry, when Airflow resumes the task only to fail it.

        Airflow does not call ``on_kill`` then (seen in 3.1.8 and 3.3.2, ``BaseOperator.resume_execution``).

        :param is_timeout: whether the deferral timed out; otherwise the trigger failed.
        """
        self._hold(self._task.read_note(self._log))
        if is_timeout:
            self._log.error("The deferral timed out: %s.", self._own.end())
        else:
            self._log.error("The trigger failed: %s.", self._own.end_unless_retried(error))

    def on_kill(self) -> None:
        """End the job by the kill policy, in the time that Airflow leaves a killed task.

        If a retry is left and Airflow ends only this process, the job goes on.
        """
        if sentence := self._kill.on_kill():
            self._log.info("%s", sentence)

    def time_out(self) -> str:
        """End the job when ``execution_timeout`` has passed in the worker, and return the message of the error."""
        return self._kill.timed_out(self._arguments.execution_timeout)

    def obey_early_kill(self) -> None:
        """Deal with the job if the task was killed before this run was ready.

        :raises NotebookJobError: unless Airflow still wants the task; it says what happened to the job.
        """
        self._kill.stop_creating()
        if not self._kill.is_still_wanted():
            self._own.note = self._task.read_note(self._log)
            raise self._kill.killed()

    def _submit(self, *, may_adopt: bool, attempt: int) -> NotebookExecutionJob:
        """Submit the job, publish it, and return it as the service has it."""
        submitted = self._submitter.submit(self._deadline, may_adopt=may_adopt, attempt=attempt)
        job = submitted.job
        self._had_failed = submitted.is_adopted and job.job_state == JobState.FAILED
        self._running_since = self.executed = None  # they were an earlier job's
        self._task.count("adopted" if submitted.is_adopted else "submitted")
        with self._own.ending_job_on_error():
            self._task.publish(self._own.note, job, self._project())
            how = "was re-attached to" if submitted.is_adopted else "was submitted"
            self._log.info("%s %s: %s", describe(job), how, job.name)
            if submitted.is_adopted:
                return job  # it was just read; if it disappears, it is replaced
            if self._arguments.wait_for_completion and self._arguments.deferrable:
                self._kill.check_not_killed()  # a task that was killed meanwhile does not defer
                return job  # its trigger reads it, and waits for it to appear
            try:
                return self._read_job(job.name or "")
            except NotFoundError as error:
                raise self._own.gone(str(error)) from error

    def _wait_and_finish(self, job: NotebookExecutionJob | None) -> dict[str, Any] | Deferral:
        """Wait for the job and finish; create another one as often as :func:`next_step` says.

        :param job: ``None`` if it no longer exists.
        """
        while True:
            waited = self._wait(job) if job is not None else None
            if isinstance(waited, Deferral):
                return waited
            executed = None
            if waited is not None:
                self._task.record_end(waited, self._running_since)
                unstage(waited, self._connect(), self._log.warning)
                executed = self._reader().find(waited)
                self.job, self.executed = waited, executed
            step = self._next_step(waited, executed)
            if isinstance(step, SubmitAgain):
                log = self._log.info if step.why is Again.FAILED_BEFORE else self._log.warning
                log("%s", why_again(step, waited, self._own.name, self._arguments.attempts))
                job = self.job = self._submit(may_adopt=False, attempt=step.attempt)
            elif waited is None or executed is None:
                raise self._own.gone()
            else:
                return self._conclude(waited, executed, step)

    def _wait(self, job: NotebookExecutionJob) -> NotebookExecutionJob | Deferral | None:
        """Return the job as it ended, or what the task needs to defer; ``None`` if the job no longer exists."""
        with self._own.ending_job_on_error():
            while True:
                if self._arguments.deferrable and not job.job_state.is_terminal:
                    return Deferral.of(job, self._own.note, self._arguments, self._deadline)
                self._log_state(job)
                flow = wait_for_job(job, float(self._arguments.poll_interval), changed=self._log_state)
                try:
                    return self._connect().run_flow(self._arguments.location or "", flow, ENDURING)
                except NotFoundError:
                    try:
                        job = self._read_job(job.name or "")  # one read that does not find it is not enough
                    except NotFoundError:
                        return None

    def _next_step(self, job: NotebookExecutionJob | None, executed: Executed | None) -> Step:
        note = self._own.note
        policy = FinishPolicy(
            retry_on_notebook_error=self._arguments.retry_on_notebook_error,
            attempts=self._arguments.attempts,
            has_time=self._deadline.seconds_left() > 0,
        )
        return next_step(
            job,
            executed,
            policy,
            attempt=note.attempt if note else 0,
            is_adopted=note is not None and note.is_adopted,
            had_failed=self._had_failed,
        )

    def _conclude(self, job: NotebookExecutionJob, executed: Executed, step: Step) -> dict[str, Any]:
        """Return the result of the job, or raise its failure and say why no other job follows."""
        if executed.uri is not None:
            self._task.publish_executed(job, self._project(), executed.uri)
        try:
            concluded = self._reader().conclude(job, executed, self._project())
        except NotebookJobFailedError as error:
            if isinstance(step, Fail) and step.is_final:
                raise self._task.final(f"{error} (No retry: retry_on_notebook_error=False.)") from error
            if isinstance(step, Fail) and (why := self._why_not_again(step, executed)):
                error.args = (f"{error} ({why})",)
            raise
        self._task.publish_outlets(concluded, executed, self._log)
        return concluded

    def _why_not_again(self, step: Fail, executed: Executed) -> str:
        attempt = self._own.note.attempt if self._own.note else 0
        return why_not_again(step, executed, self._deadline, self._arguments.attempts.sum_up(attempt))

    def _read_job(self, name: str) -> NotebookExecutionJob:
        """Return a job that must exist; NotFoundError if it is not found for some seconds."""
        return self._connect().run_flow(self._arguments.location or "", first_look(name), ENDURING)

    def _hold(self, note: JobNote | None) -> None:
        self._own.note = note
        self._kill.check_not_killed()

    def _project(self) -> str:
        return self._arguments.project_id or self._connect().project_id

    def _reader(self) -> ResultReader:
        return ResultReader(
            hook=self._connect(),
            log=self._log,
            log_output=self._arguments.log_output,
            unusable_results=self._arguments.unusable_results,
            has_results=self._arguments.do_xcom_push,
            pages=self._pages(),
        )

    def _pages(self) -> PageWriter | None:
        target = self._arguments.html
        return PageWriter(self._connect(), self._log, target, self._deadline.seconds_left()) if target else None

    def _log_state(self, job: NotebookExecutionJob) -> None:
        if job.job_state is JobState.RUNNING:
            self._running_since = self._running_since or job.update_time
        self._log.info("%s is %s.", describe(job), job.job_state.word)

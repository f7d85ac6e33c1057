"""The job of a run: which one it is, and what happens to it when the run fails."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow_nbjobs.api.pacing import PATIENT, Patience
from airflow_nbjobs.exceptions import (
    FailureKind,
    NotebookJobError,
    NotebookJobFailedError,
    NotebookJobGoneError,
    NotebookJobTimeoutError,
)
from airflow_nbjobs.hints import hint_for_missing
from airflow_nbjobs.run.argument_rules import check_kill_policy
from airflow_nbjobs.run.end_job import Ending, EndingKind, abandon, describe_endings, end_job
from airflow_nbjobs.run.summary import describe

if TYPE_CHECKING:
    from airflow_nbjobs.api.job import NotebookExecutionJob
    from airflow_nbjobs.run.note import JobNote
    from airflow_nbjobs.run.task import NoRetry, TaskContext
    from airflow_nbjobs.service import JobService

__all__ = ["OwnJob"]


class OwnJob:
    """Knows the job of one run, and ends it when no task waits for it.

    :param connect: returns the hook; it may raise.
    :param kill: the kill policy.
    :param location: region of the job.
    :param project_id: project of the job; ``None`` for the connection's.
    :param task: the task around the run.
    :param is_resumed: whether the task was deferred, and has a job.
    :param log: the task's logger.
    :ivar note: the run's job; ``None`` until it is known.
    :ivar may_exist: whether this try or an earlier one may have a job.
    """

    def __init__(
        self,
        connect: Callable[[], JobService],
        *,
        kill: str,
        location: str,
        project_id: str | None,
        task: TaskContext,
        is_resumed: bool,
        log: Any,
    ) -> None:
        self._connect = connect
        self._kill = kill
        self._location = location
        self._project_id = project_id
        self._task = task
        self._log = log
        self._sent: NotebookExecutionJob | None = None
        self.note: JobNote | None = None
        self.may_exist = is_resumed or not task.identity.is_first_process

    @property
    def name(self) -> str:
        """The name of the run's job; empty until it is known."""
        return self.note.name if self.note else ""

    def expect(self, job: NotebookExecutionJob) -> None:
        """Take note of a job that is being submitted."""
        self._sent, self.note, self.may_exist = job, None, True

    def end(self, why: NoRetry | None = None) -> str:
        """End the job by the kill policy. It never raises.

        :param why: why no retry will adopt the job.
        :returns: what happened, as a clause.
        """
        return describe_endings(self.carry_out_policy(), why.value if why else "")

    def end_unless_retried(self, error: Exception) -> str:
        """Leave the job to the retry that follows an error; without a retry, end it.

        :returns: what happened, as a clause.
        """
        why = self._task.why_no_retry(error)
        return self.end(why) if why else describe_endings(self.same_for_all(EndingKind.KEPT))

    @contextmanager
    def ending_earlier_jobs_on_error(self) -> Iterator[None]:
        """Until this try has its job, end the jobs of earlier tries if the task fails and no retry follows."""
        try:
            yield
        except NotebookJobError:
            raise  # its message says what happened to the job
        except Exception as error:
            is_ours = self.note is None and not self._task.identity.is_first_process
            if is_ours and (why := self._task.why_no_retry(error)):
                self._log.error("The task fails without a job. Jobs of earlier tries, if any: %s.", self.end(why))
            raise

    @contextmanager
    def ending_job_on_error(self) -> Iterator[None]:
        """Between submitting and finishing, end the job after an error if no retry follows, and say what happened.

        :raises NotebookJobError: in place of other errors.
        """
        try:
            yield
        except (NotebookJobFailedError, NotebookJobGoneError, NotebookJobTimeoutError):
            raise  # the job has ended, or was dealt with
        except Exception as error:
            kind = FailureKind.of(error)
            failure = NotebookJobError(f"{str(error).rstrip('.')}.", job_name=self.name, kind=kind)
            message = f"{failure} The job: {self.end_unless_retried(failure)}."
            raise NotebookJobError(message, job_name=self.name, kind=kind) from error

    def timed_out(self, job: NotebookExecutionJob, timeout: timedelta | None) -> NotebookJobTimeoutError:
        """End a job that did not end in time, and return the error.

        :param timeout: the task's ``execution_timeout``.
        """
        return NotebookJobTimeoutError(
            f"{describe(job)} was still {job.job_state.word} after execution_timeout={timeout}: {self.end()}.",
            job_name=job.name or "",
            state=job.job_state.value,
        )

    def gone(self, detail: str = "") -> NotebookJobGoneError:
        """Return the error about a job that no longer exists.

        If it exists after all, a retry finds it. Without a retry no task would wait for it, and its end is requested.

        :param detail: the words of the service.
        """
        advice = " ".join(filter(None, (hint_for_missing(), detail)))
        message = f"The notebook job {self.name} no longer exists; it may have been deleted. {advice}"
        failure = NotebookJobGoneError(message, job_name=self.name)
        if self._kill == "leave" or not (why := self._task.why_no_retry(failure)):
            return failure
        return NotebookJobGoneError(f"{message} In case it exists: {self.end(why)}.", job_name=self.name)

    def carry_out_policy(
        self, patience: Patience = PATIENT, *, until: float = float("inf"), cancel_until: float = float("inf")
    ) -> dict[str, Ending]:
        """End the job, or what this try and earlier ones have left, by the kill policy. It never raises.

        :param patience: how often and how long a call is tried.
        :param until: moment of :func:`time.monotonic` after which no request starts.
        :param cancel_until: such a moment after which a cancellation is not waited for.
        :returns: what happened, by the jobs' names.
        """
        try:
            hook, kill = self._connect(), check_kill_policy(self._kill)
            # A separate client: a signal may interrupt any request of the other one, which holds its locks.
            with hook.new_client(self._location) as client:
                if (note := self.note) is not None:
                    flow = end_job(note.name, note.operation_name, kill, cancel_until=cancel_until)
                    endings = {note.name: client.run_flow(flow, patience, until=until)}
                else:
                    parent = hook.parent(self._location, self._project_id)
                    all_jobs = abandon(parent, self._task.identity, self._sent, kill, cancel_until=cancel_until)
                    endings = client.run_flow(all_jobs, patience, until=until)
                self._task.count("cancelled", sum(ending.was_ended for ending in endings.values()))
                return endings
        except Exception as error:  # noqa: BLE001 - connection, credentials, service: people must read of it
            return self.same_for_all(EndingKind.FAILED, str(error))

    def same_for_all(self, kind: EndingKind, detail: str = "") -> dict[str, Ending]:
        """Return what :meth:`carry_out_policy` returns if the same has happened to every job."""
        return {self.name or "its job": Ending(kind, detail)}

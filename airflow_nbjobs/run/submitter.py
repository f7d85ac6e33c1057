"""The part of a run that submits: build, stage, send, try again without a machine, and explain what goes wrong."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from airflow_nbjobs.api.pacing import ENDURING
from airflow_nbjobs.exceptions import (
    AlreadyExistsError,
    ApiError,
    LostAnswerError,
    NbjobsError,
    NoCapacityError,
    NotebookJobError,
)
from airflow_nbjobs.hints import hint_for
from airflow_nbjobs.run.argument_rules import check_kill_policy
from airflow_nbjobs.run.build import build
from airflow_nbjobs.run.identity import attempt_of
from airflow_nbjobs.run.note import JobNote
from airflow_nbjobs.run.staging import stage, unstage
from airflow_nbjobs.run.submit import Request, Submitted, submit

if TYPE_CHECKING:
    from airflow_nbjobs.run.arguments import RunArguments
    from airflow_nbjobs.run.deadline import Deadline
    from airflow_nbjobs.run.kill import Kill
    from airflow_nbjobs.run.own_job import OwnJob
    from airflow_nbjobs.run.task import TaskContext
    from airflow_nbjobs.service import JobService

__all__ = ["Submitter"]


class Submitter:
    """Submits the notebook of one run.

    :param arguments: the rendered arguments.
    :param task: the task around the run.
    :param connect: returns the hook.
    :param own: learns which job is being submitted.
    :param kill: says whether a job may still be created.
    :param log: the task's logger.
    :param complete: adds to the arguments what has to be read with the hook for each submission.
    """

    def __init__(
        self,
        arguments: RunArguments,
        task: TaskContext,
        connect: Callable[[], JobService],
        own: OwnJob,
        kill: Kill,
        log: Any,
        complete: Callable[[RunArguments, JobService], RunArguments],
    ) -> None:
        self._arguments = arguments
        self._task = task
        self._connect = connect
        self._own = own
        self._kill = kill
        self._log = log
        self._once = _OnceLog(log)
        self._complete = complete

    def submit(self, deadline: Deadline, *, may_adopt: bool, attempt: int) -> Submitted:
        """Submit the job; again, within the attempts, if the create request is refused since there is no machine.

        :param deadline: no other attempt starts after it.
        :param may_adopt: whether a job that exists may be adopted.
        :param attempt: the attempt to start with.
        :raises InvalidNotebookJobError: if an argument is wrong.
        :raises ApiError: if the service refuses.
        :raises NotebookJobError: if the task is killed, or a lost answer cannot be cleared up.
        """
        attempts = self._arguments.attempts
        while True:
            try:
                return self._submit_once(may_adopt=may_adopt, attempt=attempt)
            except NoCapacityError as error:
                if not attempts.allows(attempt + 1):
                    raise _with_more(error, attempts.sum_up(attempt)) from None
                attempt, may_adopt = attempt + 1, False
                pause = attempts.pause(attempt)
                if deadline.seconds_left() <= pause:
                    raise _with_more(error, deadline.why_too_late()) from None
                when = f", in {pause:.1f} s" if pause else ""
                self._log.warning(
                    "There is no machine for the job (%s). %s%s.", error, attempts.announce(attempt), when
                )
            time.sleep(pause)
            self._kill.check_not_told_to_end()

    def _submit_once(self, *, may_adopt: bool, attempt: int) -> Submitted:
        identity = replace(self._task.identity, is_adopting=may_adopt and self._task.identity.is_adopting)
        hook = self._connect()
        arguments = self._complete(self._arguments, hook)
        built = build(arguments, identity, hook, folders=self._task.folders, attempt=attempt, log=self._once)
        job = stage(built.job, built.file, hook) if built.is_staged else built.job
        request = Request(
            parent=built.parent,
            job=job,
            task=identity,
            kill=check_kill_policy(self._arguments.kill),
            job_ids=built.job_ids,
            takes_failed=self._arguments.wait_for_completion and not self._arguments.retry_on_notebook_error,
            warn=self._log.warning,
            check=self._kill.check_not_told_to_end,
        )
        try:
            submitted = self._send(request)
        except NbjobsError as error:
            if built.is_staged and not self._may_have_created(error):
                unstage(job, hook, self._log.warning)
            raise
        if built.is_staged and submitted.job.labels.get("nbjobs-submit") != job.labels["nbjobs-submit"]:
            unstage(job, hook, self._log.warning)  # the adopted job has another copy
        return submitted

    def _send(self, request: Request) -> Submitted:
        self._kill.check_not_told_to_end()
        self._own.expect(request.job)
        with self._explaining():
            submitted = self._connect().run_flow(self._arguments.location or "", submit(request), ENDURING)
        self._own.note = JobNote(
            name=submitted.job.name or "",
            operation_name=submitted.operation_name,
            is_adopted=submitted.is_adopted,
            attempt=attempt_of(submitted.job),
        )
        self._kill.check_not_killed()
        return submitted

    def _may_have_created(self, error: Exception) -> bool:
        """Return whether the job may exist though submitting it failed, and read its staged copy."""
        is_known = self._own.note is not None
        return is_known or getattr(error, "is_transient", False) or isinstance(error.__cause__, LostAnswerError)

    @contextmanager
    def _explaining(self) -> Iterator[None]:
        """Log the remedy for a refusal that is known, and say what a lost answer means."""
        try:
            yield
        except AlreadyExistsError as error:
            advice = (
                f"job_id={self._arguments.job_id!r} can be used for one job: put {{{{ ti.try_number }}}} into it, "
                "or use deterministic_job_id=True instead."
            )
            raise _with_more(error, advice if self._arguments.job_id else "") from None
        except ApiError as error:
            if not error.is_transient and (hint := hint_for(str(error))):
                self._log.error("%s", hint)
            raise
        except LostAnswerError as error:
            failure = NotebookJobError(str(error), kind=error.kind)
            ended = self._own.end_unless_retried(failure)
            raise NotebookJobError(f"{error} If there is a job: {ended}.", kind=error.kind) from error


class _OnceLog:
    """A logger that logs each sentence once: a try may submit its notebook several times."""

    def __init__(self, log: Any) -> None:
        self._log = log
        self._logged: set[str] = set()

    def info(self, sentence: str) -> None:
        self._write(self._log.info, sentence)

    def warning(self, sentence: str) -> None:
        self._write(self._log.warning, sentence)

    def _write(self, write: Callable[..., object], sentence: str) -> None:
        if sentence not in self._logged:
            self._logged.add(sentence)
            write("%s", sentence)


def _with_more(error: ApiError, more: str) -> ApiError:
    return error.with_message(f"{error.message} ({more})") if more else error

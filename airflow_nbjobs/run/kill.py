"""What a kill of a worker's task does to its job: it ends in time, unless Airflow still wants the task.

A kill of a deferred task reaches its trigger: ``NotebookExecutionJobTrigger.on_kill``. ``docs/decisions/kills.md`` says
why both decide as they do.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from airflow_nbjobs.api.pacing import Patience
from airflow_nbjobs.exceptions import NotebookJobError
from airflow_nbjobs.run.end_job import CANCEL_SECONDS, FIND_SECONDS, EndingKind, describe_endings

if TYPE_CHECKING:
    from airflow_nbjobs.run.own_job import OwnJob
    from airflow_nbjobs.run.task import TaskContext

__all__ = ["KILL_BUDGET", "Kill", "KillBudget", "result_in_time"]

T = TypeVar("T")

_WANTED = frozenset({"running", "up_for_retry", "up_for_reschedule", "queued", "scheduled"})
"""
States of a task that goes on or runs again. A person's mark leads to other states, and so does the clear of a running
task (``restarting``). ``queued`` and ``scheduled`` are passed on the way to that.
"""


@dataclass(frozen=True, kw_only=True)
class KillBudget:
    """How a killed worker task spends its last seconds, counted from the call of ``on_kill``.

    :ivar state: the question whether Airflow still wants the task is given up after this.
    :ivar cancel: a job that is still active after its cancellation is deleted after this.
    :ivar requests: no request starts after this.
    :ivar answer: ``on_kill`` returns after this, in any case.
    :ivar airflow: Airflow kills the process after this (``task_runner``: SIGKILL five seconds after SIGTERM).
    """

    state: float = 2.0
    cancel: float = 3.0
    requests: float = 4.3
    answer: float = 4.6
    airflow: float = 5.0

    def __post_init__(self) -> None:
        """Check that the parts fit.

        :raises ValueError: if a part does not end before the next one.
        """
        longest = max(self.state, CANCEL_SECONDS, FIND_SECONDS)
        if not 0 < longest < self.cancel < self.requests < self.answer < self.airflow:
            raise ValueError(f"The parts of {self} do not fit into each other.")

    @property
    def patience(self) -> Patience:
        """How long one call is tried during a kill."""
        return Patience(tries=3, seconds=3.5, timeout=2.5, queueing=3.5)


KILL_BUDGET = KillBudget()


class Kill:
    """Decides what happens when Airflow tells the process of one run to end.

    :param own: the run's job.
    :param task: the task around the run.
    """

    def __init__(self, own: OwnJob, task: TaskContext) -> None:
        self._own = own
        self._task = task
        self._is_told_to_end = False
        self._is_killed = False
        self._ended = ""

    def on_kill(self) -> str:
        """Deal with the job of a task that Airflow tells to end, in time.

        :returns: a sentence for the log; empty if there is nothing to say.
        """
        if self._ended:  # Airflow calls it again after a timeout, which may also have interrupted the first call
            return ""
        began = time.monotonic()
        self.stop_creating()
        if not self._is_killed and self.is_still_wanted():
            told = "Airflow tells this process to end, but still wants the task"
            if self._own.note is None:
                return (
                    f"{told}: it sends no more create requests. If an earlier request or try has created a job, it "
                    "goes on with that job; otherwise a retry follows."
                )
            return (
                f"{told}: {self._own.name} keeps running. This process waits for it as long as it lives, and a retry "
                "re-attaches to it."
            )
        self._is_killed = True
        self._ended = self._end_in_time(began) if self._own.may_exist else "nothing was submitted"
        return f"The task is killed: {self._ended}." if self._own.may_exist else ""

    def stop_creating(self) -> None:
        """Create no job from now on: Airflow has told this process to end."""
        self._is_told_to_end = True

    def is_still_wanted(self) -> bool:
        """Return whether Airflow ends only this process, and goes on with the task or retries it.

        Airflow 3.3 passes the end of a worker on to its tasks, and ends a task that it wrongly took for dead. Both look
        like a person's kill. Without an answer in time the task counts as unwanted: an unwanted job costs more than a
        second one.
        """
        may_be = not self._task.is_timing_out() and self._task.has_retry()
        return may_be and result_in_time(KILL_BUDGET.state, lambda: self._task.state() in _WANTED, False)

    def check_not_told_to_end(self) -> None:
        """Check that a job may be created. A process that Airflow told to end creates no job, even if it goes on.

        Airflow may have taken it for dead and started another try, which has already looked for this process's job.

        :raises NotebookJobError: if it may not.
        """
        if self._is_told_to_end:
            raise NotebookJobError("Airflow told this process to end: nothing is submitted.", job_name="")

    def check_not_killed(self) -> None:
        """Check that the task may go on with its job, which became known meanwhile.

        :raises NotebookJobError: if it was killed. The job is dealt with first.
        """
        if self._is_killed:
            raise self.killed()

    def killed(self) -> NotebookJobError:
        """Deal with the job of a task that was killed before its job was known, and return the error that says so."""
        ended = self._end_in_time(time.monotonic()) if self._own.may_exist else "nothing is submitted"
        return NotebookJobError(f"The task was killed: {ended}.", job_name=self._own.name)

    def timed_out(self, timeout: timedelta | None) -> str:
        """End the job when ``execution_timeout`` has passed in its worker, and return the error's message."""
        self.on_kill()
        return f"execution_timeout={timeout} has passed: {self._ended}."

    def _end_in_time(self, began: float) -> str:
        """End the job within :data:`KILL_BUDGET`, and return what happened, as a clause."""
        end = partial(
            self._own.carry_out_policy,
            KILL_BUDGET.patience,
            until=began + KILL_BUDGET.requests,
            cancel_until=began + KILL_BUDGET.cancel,
        )
        left = began + KILL_BUDGET.answer - time.monotonic()
        return describe_endings(result_in_time(left, end, self._own.same_for_all(EndingKind.NO_TIME)))


def result_in_time(seconds: float, work: Callable[[], T], otherwise: T) -> T:
    """Return what the work returns, or ``otherwise`` if it takes longer or raises.

    It runs in a thread. A signal can arrive while the main thread holds a lock that the work needs, and no request's
    timeout covers an answer that arrives byte by byte or a token server that does not answer.
    """
    returned: list[T] = []

    def run() -> None:
        try:
            returned.append(work())
        except Exception:  # noqa: BLE001 - without an answer in time the caller has its own
            returned.append(otherwise)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(max(0.0, seconds))
    return returned[0] if returned else otherwise

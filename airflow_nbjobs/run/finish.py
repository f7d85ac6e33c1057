"""What follows when a job has ended: a pure function from what is known to one step.

========= ================================================================ ============================================
row       what is known                                                    step
========= ================================================================ ============================================
1         the job is gone or CANCELED, was adopted, and there is time      SubmitAgain: somebody else ended it
2         the job is gone                                                  Fail
3         SUCCEEDED                                                        Return
4         a cell raised, and ``retry_on_notebook_error=False``             Fail for good
5         it FAILED before this try, and the notebook could not be read    Fail: a cell may have raised
6         it FAILED before this try, and no cell raised                    SubmitAgain: this try runs the notebook
7         it FAILED without a machine and without an executed notebook,
          and the attempts are used up                                     Fail
8         as 7, attempts are left, but Cloud Storage could not be asked    Fail: cells may have run
9         as 7, attempts are left, and no cell ran                         SubmitAgain: the next attempt
10        a row that submits again, but ``execution_timeout`` is over      Fail
11        anything else                                                    Fail
========= ================================================================ ============================================
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto
from typing import TYPE_CHECKING

from airflow_nbjobs.api.capacity import is_capacity
from airflow_nbjobs.api.job import JobState, NotebookExecutionJob

if TYPE_CHECKING:
    from airflow_nbjobs.run.capacity import Attempts
    from airflow_nbjobs.run.result import Executed

__all__ = ["Again", "Fail", "FinishPolicy", "Return", "Step", "SubmitAgain", "WhyNot", "next_step"]


class Again(Enum):
    """Why the notebook is submitted again."""

    REPLACED = auto()
    FAILED_BEFORE = auto()
    NO_MACHINE = auto()


class WhyNot(Enum):
    """Why the notebook is not submitted again, if another job was possible."""

    NO_TIME = auto()
    NO_ATTEMPT_LEFT = auto()
    CELLS_MAY_HAVE_RUN = auto()
    CELL_MAY_HAVE_RAISED = auto()


@dataclass(frozen=True)
class Return:
    """Return the result of the job."""


@dataclass(frozen=True)
class Fail:
    """Fail the task.

    :ivar is_final: whether no retry may follow.
    """

    why_not_again: WhyNot | None = None
    is_final: bool = False


@dataclass(frozen=True)
class SubmitAgain:
    """Create another job in this try.

    :ivar attempt: the attempt to make.
    """

    why: Again
    attempt: int


Step = Return | Fail | SubmitAgain


@dataclass(frozen=True, kw_only=True)
class FinishPolicy:
    """What the task allows.

    :ivar retry_on_notebook_error: the operator's argument.
    :ivar attempts: how many submissions a try may make.
    :ivar has_time: whether ``execution_timeout`` leaves time for another job.
    """

    retry_on_notebook_error: bool
    attempts: Attempts
    has_time: bool


def next_step(
    job: NotebookExecutionJob | None,
    executed: Executed | None,
    policy: FinishPolicy,
    *,
    attempt: int = 0,
    is_adopted: bool = False,
    had_failed: bool = False,
) -> Step:
    """Return what follows, by the first row of the module's table that applies.

    :param job: the job as it ended; ``None`` if it no longer exists.
    :param executed: its executed notebook; ``None`` if the job no longer exists.
    :param attempt: which attempt of its try created the job.
    :param is_adopted: whether another try, or another process of this try, created the job.
    :param had_failed: whether the job had FAILED before this try adopted it.
    """
    if job is None or executed is None:
        return _again(Again.REPLACED, attempt, policy) if is_adopted else Fail()
    is_replaced = is_adopted and job.job_state == JobState.CANCELLED
    if is_replaced and policy.has_time:
        return SubmitAgain(Again.REPLACED, attempt)
    if job.job_state.is_success:
        return Return()
    failure = executed.outcome.failure if executed.outcome else None
    if failure is not None and not policy.retry_on_notebook_error:
        return Fail(is_final=True)
    if is_replaced:
        return Fail(WhyNot.NO_TIME)
    if had_failed:
        if executed.outcome is None and not executed.is_missing:
            return Fail(WhyNot.CELL_MAY_HAVE_RAISED)
        return _again(Again.FAILED_BEFORE, 0, policy)
    # Only FAILED: in any other state a person, or the job's own timeout, ended it while it waited for a machine.
    if job.job_state == JobState.FAILED and executed.uri is None and is_capacity(job.status):
        if not policy.attempts.allows(attempt + 1):
            return Fail(WhyNot.NO_ATTEMPT_LEFT)
        if not executed.is_missing:
            return Fail(WhyNot.CELLS_MAY_HAVE_RUN)
        return _again(Again.NO_MACHINE, attempt + 1, policy)
    return Fail()


def _again(why: Again, attempt: int, policy: FinishPolicy) -> Step:
    return SubmitAgain(why, attempt) if policy.has_time else Fail(WhyNot.NO_TIME)

"""An operator that submits its job once more where that is right."""

from __future__ import annotations

import time
from contextlib import suppress
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeVar

from airflow_nbjobs.operators.keeper import NotebookJobKeeper, why_final

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_nbjobs.api.job import NotebookExecutionJob
    from airflow_nbjobs.exceptions import ApiError, NotebookJobGoneError
    from airflow_nbjobs.operators.attempts import Attempts

__all__ = ["NotebookJobRenewer", "saying"]

Refusal = TypeVar("Refusal", bound="ApiError")


class NotebookJobRenewer(NotebookJobKeeper):
    """Submitting a job once more: for want of a machine, or in place of one that was ended by somebody else."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._ends_at: datetime | None = None

    def start(self, context: Context, *, anew: bool = False, attempt: int = 0) -> dict[str, Any]:
        """Submit what the operator is for, and wait for it.

        :param anew: adopt nothing.
        :param attempt: how often this try has submitted before, for lack of capacity.
        """
        raise NotImplementedError

    def attempts(self) -> Attempts:
        """Return how often a try may submit the job for want of a machine, and with which templates."""
        raise NotImplementedError

    def submit_attempt(self, context: Context, *, anew: bool, attempt: int) -> NotebookExecutionJob:
        """Submit the job once, as :meth:`start` says."""
        raise NotImplementedError

    def submit_where_there_is_a_machine(self, context: Context, *, anew: bool, attempt: int) -> NotebookExecutionJob:
        """Submit the job; again, as often as may be, when the create is refused for want of a machine."""
        from airflow_nbjobs.exceptions import NoCapacityError

        attempts = self.attempts()
        while True:
            try:
                return self.submit_attempt(context, anew=anew, attempt=attempt)
            except NoCapacityError as error:
                if not attempts.allows(attempt + 1):
                    raise saying(attempts.sum_up(attempt), error) from None
                attempt, anew = attempt + 1, True
                pause = attempts.pause(attempt)
                if why_not := self.why_not_again(context, pause):
                    raise saying(why_not, error) from None
                when = f", in {pause:.1f} s" if pause else ""
                self.log.warning("There is no machine for it (%s). %s%s.", error, attempts.announce(attempt), when)
            time.sleep(pause)
            self._check_not_killed()

    def _check_not_killed(self) -> None:
        """Check that nobody has ended the task: Airflow lets it go on for five seconds, and nothing new begins then."""
        from airflow_nbjobs.exceptions import NotebookJobError

        if self._is_killed:
            raise NotebookJobError("The task was killed: nothing is submitted.", job_name="")

    def why_not_again(self, context: Context, pause: float = 0.0) -> str:
        """Return why nothing is submitted any more in place of a job that is over; nothing when it may be.

        :param pause: seconds after which it would be.
        """
        deadline = self._deadline(context)
        left = 1.0 if deadline is None else (deadline - datetime.now(deadline.tzinfo)).total_seconds() - pause
        if left > 0:
            return ""
        verb = "would be" if left + pause > 0 else "is"
        return f"It is not submitted again: execution_timeout={self.execution_timeout} {verb} over."

    def _look(self, name: str) -> NotebookExecutionJob:
        """Get a job that there must be.

        :raises NotFoundError: when it is not to be seen for some seconds.
        """
        from airflow_nbjobs.api.pacing import ENDURING
        from airflow_nbjobs.api.waiting import first_look

        return self.hook.run_flow(self.location or "", first_look(name), ENDURING)

    def _settle_gone(self, error: Exception, context: Context) -> dict[str, Any]:
        if self._held is not None and self._held.is_adopted and not self.why_not_again(context):
            return self._replace(f"{self._held.name} disappeared", context)
        raise self._gone(error, context) from error

    def _gone(self, error: Exception, context: Context) -> NotebookJobGoneError:
        from airflow_nbjobs.exceptions import NotebookJobGoneError
        from airflow_nbjobs.hints import hint_for_missing

        name = self._held.name if self._held else ""
        said = (
            f"The notebook job {name} was made and is not there any more: was it deleted? {hint_for_missing()} {error}"
        )
        failure = NotebookJobGoneError(said, job_name=name)
        # Should it be there all the same, a retry finds it, and without one it would run on for nobody.
        if self.kill != "leave" and (why := why_final(context, failure)):
            said = f"{said} It was told to end all the same, since {why}: it {self._end()}."
        return NotebookJobGoneError(said, job_name=name)

    def _replace(self, what: str, context: Context) -> dict[str, Any]:
        # Clearing a running task looks like a retry: its old worker may have ended the job after we re-attached to it.
        self.log.warning("The job that the task re-attached to, %s: it is replaced, once.", what)
        return self.start(context, anew=True, attempt=self._held.attempt if self._held else 0)

    def _deadline(self, context: Context) -> datetime | None:
        """Return when ``execution_timeout`` is over: Airflow itself does not bound a deferral by it."""
        if self.execution_timeout is None:
            return None
        # On Airflow 3.1 a resumed task's start_date is the moment of resuming.
        if self._ends_at is not None:
            return self._ends_at
        with suppress(OverflowError):  # beyond what a calendar has is no deadline
            return context["ti"].start_date + self.execution_timeout
        return None


def saying(more: str, error: Refusal) -> Refusal:
    """Return the error with more words, if there are any."""
    if not more:
        return error
    return type(error)(
        f"{error.message} ({more})",
        http_status=error.http_status,
        status=error.status,
        details=error.details,
        retry_after=error.retry_after,
    )

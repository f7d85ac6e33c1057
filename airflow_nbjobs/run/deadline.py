"""When the time of a task is over. Airflow itself does not bound a deferral by ``execution_timeout``."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

__all__ = ["Deadline"]


@dataclass(frozen=True)
class Deadline:
    """The end of a task's ``execution_timeout``.

    :ivar timeout: ``None`` for a task without one.
    :ivar at: when it has passed; ``None`` if there is no deadline.
    """

    timeout: timedelta | None
    at: datetime | None

    @classmethod
    def of(cls, timeout: timedelta | None, started_at: datetime) -> Deadline:
        """Return the deadline of a try that started then; ``at`` is ``None`` beyond the calendar."""
        try:
            return cls(timeout, None if timeout is None else started_at + timeout)
        except OverflowError:
            return cls(timeout, None)

    def kept_at(self, at: datetime | None) -> Deadline:
        """Return the deadline that was set before a deferral, if this task has one.

        On Airflow 3.1 the start date of a resumed task is the moment of resuming.
        """
        return self if self.timeout is None or at is None else replace(self, at=at)

    def seconds_left(self) -> float:
        """Return the seconds until the deadline, negative after it; infinity without one."""
        return float("inf") if self.at is None else (self.at - datetime.now(self.at.tzinfo)).total_seconds()

    def why_too_late(self) -> str:
        """Return the sentence that no other job is submitted."""
        verb = "would be" if self.seconds_left() > 0 else "is"
        return f"It is not submitted again: execution_timeout={self.timeout} {verb} over."

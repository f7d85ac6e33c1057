"""Which run of a schedule belongs to a data interval. Decisions only: nothing here is sent.

A job has the time of its creation, but not the time of the cron expression that its schedule created it for.

- The newest job that was created in the interval counts: the schedule's own run, or a person's repetition of it.
- If the interval has no such job, the first one that was created in the grace after the interval counts: a run that
  started late. A later one belongs to the next interval.

A clear, a backfill and the run on time choose the same job, whenever they look.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow_nbjobs.exceptions import InvalidNotebookJobError

if TYPE_CHECKING:
    from airflow_nbjobs.api.job import NotebookExecutionJob

__all__ = ["Window", "as_time"]


@dataclass(frozen=True)
class Window:
    """The times at which the job may have been created.

    :ivar start: of the data interval.
    :ivar end: of the data interval, which does not include it; it may be the start.
    :ivar grace: how long after the end a run may start late.
    """

    start: datetime
    end: datetime
    grace: timedelta

    @classmethod
    def of(cls, start: datetime | None, end: datetime | None, grace: timedelta | float) -> Window:
        """Return a checked window.

        :param grace: a timedelta, or seconds.
        :raises InvalidNotebookJobError: if the interval has no start or no end, or ends before it starts.
        """
        if start is None or end is None:
            raise InvalidNotebookJobError(
                "This DAG run has no data interval, as runs without a logical date: give interval_start and "
                "interval_end, such as '{{ dag_run.run_after - macros.timedelta(days=1) }}' and "
                "'{{ dag_run.run_after }}'."
            )
        if end < start:
            raise InvalidNotebookJobError(
                f"The interval ends at {end.isoformat()}, before it starts at {start.isoformat()}: give interval_start "
                "and interval_end in their order."
            )
        try:
            length = grace if isinstance(grace, timedelta) else timedelta(seconds=float(grace))
        except (TypeError, ValueError, OverflowError):
            length = timedelta(-1)
        if length < timedelta(0):
            raise InvalidNotebookJobError(f"grace={grace!r} is not a duration: give seconds or a timedelta, 0 or more.")
        return cls(start, end, length)

    @property
    def until(self) -> datetime:
        """The end of the grace."""
        return self.end + self.grace

    def choose(self, jobs: Iterable[NotebookExecutionJob]) -> NotebookExecutionJob | None:
        """Return the job that belongs to the interval; ``None`` if no job does.

        :param jobs: of the schedule, in any order.
        """
        dated = [(job.create_time, job) for job in jobs if job.create_time is not None]
        inside = [each for each in dated if self.start <= each[0] < self.end]
        late = [each for each in dated if self.end <= each[0] < self.until]
        when = lambda each: each[0]  # noqa: E731 - one line says it
        chosen = max(inside, key=when, default=None) or min(late, key=when, default=None)
        return chosen[1] if chosen else None

    def __str__(self) -> str:
        """Return the window as sentences name it."""
        late = f" (or late, until {self.until.isoformat()})" if self.grace else ""
        return f"between {self.start.isoformat()} and {self.end.isoformat()}{late}"


def as_time(argument: str, value: Any) -> datetime | None:
    """Return a time that may be ISO 8601 text; ``None`` for an empty one.

    :raises InvalidNotebookJobError: if it is malformed, or has no time zone.
    """
    if value in (None, "", "None"):
        return None
    try:
        time = datetime.fromisoformat(value) if isinstance(value, str) else value
    except ValueError:
        time = None
    if isinstance(time, datetime) and time.tzinfo is not None:
        return time
    raise InvalidNotebookJobError(
        f"{argument}={value!r} is not a time: give one with a time zone, such as '2026-12-24T06:00:00+01:00'."
    )

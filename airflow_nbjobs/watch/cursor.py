"""How far back a list has to be read so that no change is missed. Arithmetic only.

Jobs are listed by ``update_time desc``: what has changed since the last round comes first, and a round reads until it
reaches what the last one has shown.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from airflow_nbjobs.watch.updates import JobUpdate

__all__ = ["OVERLAP", "Cursor", "is_past"]

OVERLAP = timedelta(seconds=10)
"""
How long after its ``update_time`` a change may take to appear in a list, and how far the clocks of the service's
machines may be apart. The service documents no limit; the slow re-check finds what takes longer.
"""


def is_past(updates: Sequence[JobUpdate], moment: datetime, overlap: timedelta = timedelta()) -> bool:
    """Return whether a page has a job that changed before a moment, less the overlap: all later pages are older."""
    # The difference of two times is always defined. The first or the last time of all, less an overlap, is not.
    return any(seen.update_time is not None and moment - seen.update_time > overlap for seen in updates)


@dataclass(frozen=True)
class Cursor:
    """All changes up to here are known, except those that appear late.

    :ivar moment: in the service's time; ``None`` before the first round.
    :ivar as_of: when the round that set ``moment`` began, in the loop's time (seconds).
    """

    moment: datetime | None = None
    as_of: float = 0.0

    def is_reached(self, page: Sequence[JobUpdate]) -> bool:
        """Return whether a round that has read this page has seen all changes. The first round reads one page."""
        return self.moment is None or is_past(page, self.moment, OVERLAP)

    def after(self, first_page: Sequence[JobUpdate], began: datetime, now: float) -> Cursor:
        """Return the cursor after a round.

        It advances with time even if nothing changes: otherwise a thousand jobs that changed at once, as the last ones
        to do so, would be read again in each round.

        :param first_page: the first page of the round. Later pages are older.
        :param began: when the round began, by this machine's clock. A job from the future (a machine of the service has
            a wrong clock) must not hide all jobs that change until then. If this machine's clock is behind, the rounds
            read more than they need to.
        :param now: the loop's time at ``began``.
        """
        times = [min(seen.update_time, began) for seen in first_page if seen.update_time is not None]
        if self.moment is not None:
            times.append(self.moment + timedelta(seconds=now - self.as_of))
        return Cursor(max(times), now) if times else self

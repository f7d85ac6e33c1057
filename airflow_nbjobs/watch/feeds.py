"""Who wants to know which jobs have ended, whatever jobs these are: event triggers, beside the tasks that wait for one.

They read along in the lists of the poller. A list that is read for them is read back to what they know.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from airflow_nbjobs.api.job import JobState
from airflow_nbjobs.watch.cursor import OVERLAP, is_past
from airflow_nbjobs.watch.failures import Outage
from airflow_nbjobs.watch.updates import JobUpdate
from airflow_nbjobs.watch.waiters import Wake, copy_of

__all__ = ["LATE", "Feed", "Feeds", "Reading"]

log = logging.getLogger(__name__)

LATE = timedelta(minutes=15)
"""
How far back a list is read every ten minutes, and when a watcher starts again. So an end is found that appears in the
list up to five minutes after its ``update_time``. The service documents no limit.
"""

_EMPTY = datetime(1970, 1, 1, tzinfo=UTC)
"""What is known before the first job of a place: each one that appears has ended since."""


@dataclass(eq=False)
class Feed:
    """What one event trigger learns.

    :ivar wants: says of a job, as the service's JSON, whether its end is of interest.
    :ivar poll_interval: seconds between two looks that the trigger asks for.
    :ivar read_to: all ends up to this moment, in the service's time, are known; ``None`` at the start of a new watcher,
        whose first list is one page.
    :ivar parent: place of the jobs as the service names it, with the project's number; ``None`` until a job is seen.
    """

    wants: Callable[[Mapping[str, Any]], bool]
    poll_interval: float
    read_to: datetime | None = None
    parent: str | None = None
    _ended: dict[str, JobUpdate] = field(default_factory=dict)
    _is_read: bool = False
    _error: BaseException | None = None
    _wake: Wake = field(default_factory=Wake)

    async def next_round(self) -> tuple[list[JobUpdate], datetime]:
        """Wait until a list was read, and return the jobs of interest in it that have ended, the first to end first.

        A job may be returned again in later rounds: lists overlap.

        :returns: the jobs, and the moment to which all are known.
        :raises ApiError: if the service refuses, or did not answer for too long.
        :raises CredentialsError: if there is no token.
        """
        while self._error is None and not self._is_read:
            await self._wake.wait()
        if self._error is not None:
            raise copy_of(self._error) from self._error
        ended, self._ended, self._is_read = self._ended, {}, False
        read_to = self.read_to or _EMPTY
        return sorted(ended.values(), key=lambda job: job.update_time or read_to), read_to

    def see(self, page: Sequence[JobUpdate]) -> None:
        """Record what a page shows."""
        for job in page:
            if JobState(job.state).is_terminal and self.wants(job.wire):
                self._ended[job.job_id] = job
        if page and self.parent is None:
            self.parent = str(page[0].wire["name"]).partition("/notebookExecutionJobs/")[0]

    def end_round(self, moment: datetime) -> None:
        """Record that a list was read back to what was known before."""
        self.read_to = moment if self.read_to is None else max(self.read_to, moment)
        self._is_read = True
        self._wake.set()

    def fail(self, error: BaseException) -> None:
        """End the waiting with an error."""
        self._error = error
        self._wake.set()


@dataclass(frozen=True)
class Reading:
    """One round of lists, for the feeds that were there when it began.

    :ivar back_to: the round must read back to this moment; ``None`` if one page is enough.
    """

    feeds: Sequence[Feed]
    back_to: datetime | None

    def see(self, page: Sequence[JobUpdate]) -> None:
        """Record what a page shows."""
        for feed in self.feeds:
            feed.see(page)

    def is_reached(self, page: Sequence[JobUpdate]) -> bool:
        """Return whether this page is the last one that is needed."""
        return self.back_to is None or is_past(page, self.back_to)

    def end(self, moment: datetime | None) -> None:
        """Record that the round is complete.

        :param moment: all changes up to it are known; ``None`` if there is no job.
        """
        for feed in self.feeds:
            feed.end_round(moment or _EMPTY)


class Feeds(set[Feed]):
    """The feeds of a poller.

    :param recheck: seconds between two rounds that read back :data:`LATE`.
    """

    def __init__(self, recheck: float) -> None:
        super().__init__()
        self._recheck = recheck
        self._next_recheck: float | None = None

    def begin_round(self, now: float) -> Reading:
        """Begin a round.

        :param now: in the loop's time.
        """
        overlap = OVERLAP
        if self._next_recheck is None:
            self._next_recheck = now + self._recheck
        elif now >= self._next_recheck:
            self._next_recheck, overlap = now + self._recheck, LATE
        known = [feed.read_to for feed in self if feed.read_to is not None]
        # The first time of all, less an overlap, is not defined.
        return Reading([*self], max(min(known), _EMPTY + overlap) - overlap if known else None)

    def fail(self, error: BaseException) -> None:
        """End the waiting of all with an error."""
        for feed in self:
            feed.fail(error)

    def end(self, error: BaseException) -> None:
        """End the waiting of all with an error, and let them go."""
        self.fail(error)
        self.clear()

    def log(self, outage: Outage) -> None:
        """Log what waiting tasks log themselves: requests fail, or work again."""
        if self and outage.is_over:
            log.info("Event triggers can list notebook jobs again, after the failures since %s.", outage.since)
        elif self:
            log.warning(
                "Failed to list notebook jobs for event triggers since %s: %s. What ends meanwhile is reported when "
                "requests work again.",
                *(outage.since, str(outage.error).rstrip(".")),
            )

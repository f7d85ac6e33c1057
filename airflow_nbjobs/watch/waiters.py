"""The jobs that a poller watches, and the triggers that wait for them."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from airflow_nbjobs.api.job import JobState
from airflow_nbjobs.api.names import JobName
from airflow_nbjobs.api.waiting import GRACE
from airflow_nbjobs.exceptions import NbjobsError
from airflow_nbjobs.watch.failures import Failures, Outage
from airflow_nbjobs.watch.updates import JobUpdate

__all__ = ["BATCH", "Waiter", "Wake", "WatchedJob", "copy_of", "report_to"]

BATCH = 20
"""Jobs that are reported on before other tasks have their turn: the tasks that were waiting log meanwhile."""

_GRACE_SECONDS = sum(GRACE)

_NEW = timedelta(minutes=1)
"""The age up to which a job may be too new to be found."""


class Wake:
    """Wakes one trigger. An ``asyncio.Event`` takes five times the memory, for each of thousands of triggers."""

    __slots__ = ("_future",)

    def __init__(self) -> None:
        self._future: asyncio.Future[None] | None = None

    async def wait(self) -> None:
        """Wait for the next :meth:`set`. What has happened before is not noticed: check for it first."""
        self._future = asyncio.get_running_loop().create_future()
        await self._future

    def set(self) -> None:
        """Wake the trigger, if it waits."""
        if self._future is not None and not self._future.done():
            self._future.set_result(None)


@dataclass(slots=True, eq=False)
class Waiter:
    """One trigger that waits at a poller.

    :ivar poll_interval: seconds between two looks that the trigger asks for.
    :ivar since: when it joined, in the loop's time.
    :ivar changed_at: when the job came into the state that was reported last, in the service's time, if that is known.
    """

    poll_interval: float
    since: float
    changed_at: datetime | None = None
    _state: JobState = JobState.UNSPECIFIED
    _returned: JobState = JobState.UNSPECIFIED
    _outage: Outage | None = None
    _error: BaseException | None = None
    _wake: Wake = field(default_factory=Wake)

    async def next_report(self) -> JobState | Outage:
        """Wait until the state of the job is another than was returned last, or an outage is reported.

        :raises NotFoundError: if the job no longer exists.
        :raises ApiError: if the service refuses, or did not answer for too long.
        :raises CredentialsError: if there is no token.
        :raises NbjobsError: if the poller itself has failed.
        """
        while self._error is None and self._outage is None and self._state == self._returned:
            await self._wake.wait()
        if self._error is not None:
            raise copy_of(self._error) from self._error
        if self._outage is not None:
            outage, self._outage = self._outage, None
            return outage
        self._returned = self._state
        return self._state

    def report(self, news: JobState | Outage | BaseException) -> None:
        """Wake the trigger: the state of the job, an outage, or the error that ends the waiting."""
        if isinstance(news, JobState):
            self._state = news
        elif isinstance(news, Outage):
            self._outage = news
        else:
            self._error = news
        self._wake.set()


def copy_of(error: BaseException) -> BaseException:
    """Return an error for one trigger: an exception that is raised in a thousand tasks keeps the frames of all."""
    if isinstance(error, NbjobsError):
        return copy.copy(error)
    return NbjobsError(f"Watching the notebook jobs failed: {type(error).__name__}: {error}")


@dataclass(slots=True, eq=False)
class WatchedJob:
    """A job and all triggers that wait for it.

    :ivar name: as the first waiter gave it; the service may answer with the project's number.
    :ivar changed_at: the last known change in the service's time, at first the creation; ``None`` if unknown.
    :ivar seen_at: when the poller last saw the job, in the loop's time.
    :ivar failures: of requests for this job alone.
    """

    name: JobName
    changed_at: datetime | None
    seen_at: float
    failures: Failures = field(default_factory=Failures)
    waiters: set[Waiter] = field(default_factory=set)
    _state: str = ""

    def add(self, waiter: Waiter) -> None:
        """Add a trigger, and report what is known to it."""
        self.waiters.add(waiter)
        if self._state:
            waiter.changed_at = self.changed_at
            waiter.report(JobState(self._state))

    def see(self, seen: JobUpdate, now: float) -> bool:
        """Record what the service says about the job, and return whether its state has changed."""
        self.seen_at = now
        self.failures.clear()
        self.changed_at = seen.update_time or self.changed_at
        if not seen.state or seen.state == self._state:
            return False
        self._state = seen.state
        for waiter in self.waiters:
            waiter.changed_at = self.changed_at
        self.report(JobState(seen.state))
        return True

    def may_appear(self, now: float, utc_now: datetime) -> bool:
        """Return whether a job that was not found may be too new: a read may be behind the write.

        :param now: the loop's time.
        :param utc_now: the same by this machine's clock.
        """
        if self._state or (self.changed_at is not None and utc_now - self.changed_at > _NEW):
            return False
        return self.failures.since is None or now - self.failures.since < _GRACE_SECONDS

    def report(self, news: JobState | Outage | BaseException, *, since: float | None = None) -> None:
        """Report to all waiters, or to those that have waited since then (in the loop's time)."""
        for waiter in self.waiters:
            if since is None or waiter.since <= since:
                waiter.report(news)


async def report_to(jobs: Iterable[WatchedJob], news: Outage | BaseException, *, since: float | None = None) -> None:
    """Report to all who wait for these jobs; other tasks have their turn meanwhile.

    :param since: as for :meth:`WatchedJob.report`.
    """
    for index, job in enumerate(list(jobs), 1):
        job.report(news, since=since)
        if index % BATCH == 0:
            await asyncio.sleep(0)

"""The jobs that a poller watches, and the triggers that wait for them."""

from __future__ import annotations

import asyncio
import copy
from datetime import datetime, timedelta

from airflow_nbjobs.api.job import JobState
from airflow_nbjobs.api.names import JobName
from airflow_nbjobs.exceptions import NbjobsError
from airflow_nbjobs.watch.horizon import Glimpse

__all__ = ["Waiter", "WatchedJob"]

_GRACE_SECONDS = 7.5
"""How long a new job may be unknown: a read may be behind the write, as in ``api.waiting.first_look``."""

_NEW = timedelta(minutes=1)
"""The age up to which a job counts as just made."""


class Waiter:
    """One trigger's place at a poller.

    :ivar poll_interval: seconds between two looks that it asks for.
    :ivar since: when it came, in the loop's time.
    """

    __slots__ = ("_error", "_news", "_returned", "_state", "poll_interval", "since")

    def __init__(self, poll_interval: float, since: float) -> None:
        self.poll_interval = poll_interval
        self.since = since
        self._state = self._returned = JobState.UNSPECIFIED
        self._error: BaseException | None = None
        self._news: asyncio.Future[None] | None = None

    async def change(self) -> JobState:
        """Wait until the job is in another state than was returned last, and return it.

        :raises NotFoundError: when there is no such job any more.
        :raises ApiError: when the service refuses, or could not be asked for too long.
        :raises CredentialsError: when there is no token to be had.
        :raises NbjobsError: when the poller itself has failed.
        """
        while self._error is None and self._state == self._returned:
            self._news = asyncio.get_running_loop().create_future()
            await self._news
        if self._error is not None:
            raise _own(self._error) from self._error
        self._returned = self._state
        return self._state

    def tell(self, state: JobState) -> None:
        """Take note of the job's state."""
        self._state = state
        self._wake()

    def fail(self, error: BaseException) -> None:
        """Take note of the error that ends the waiting."""
        self._error = error
        self._wake()

    def _wake(self) -> None:
        if self._news is not None and not self._news.done():
            self._news.set_result(None)


def _own(error: BaseException) -> BaseException:
    """Return an error for one waiter alone: an exception that is raised in a thousand tasks keeps all their frames."""
    if isinstance(error, NbjobsError):
        return copy.copy(error)
    return NbjobsError(f"The notebook job could not be watched any more: {type(error).__name__}: {error}")


class WatchedJob:
    """A job, and everybody who waits for it.

    :ivar name: as the first waiter called it; the service may answer with the project's number.
    :ivar changed_at: the service's time of the last change that is known, at first that of its creation; ``None``
        when neither is.
    :ivar is_swept: whether it was looked for by the page in vain.
    :ivar seen_at: when it was seen last, in the loop's time.
    :ivar failures: how many requests for this job alone have failed, one after the other.
    :ivar failing_since: when the first of them did.
    :ivar missing_since: when the service first said that there is no such job, in the loop's time.
    """

    __slots__ = (
        "_state",
        "changed_at",
        "failing_since",
        "failures",
        "is_swept",
        "missing_since",
        "name",
        "seen_at",
        "waiters",
    )

    def __init__(self, name: JobName, changed_at: datetime | None, now: float) -> None:
        self.name = name
        self.changed_at = changed_at
        self.is_swept = False
        self.seen_at = now
        self.failures = 0
        self.failing_since: float | None = None
        self.missing_since: float | None = None
        self.waiters: set[Waiter] = set()
        self._state = ""

    def add(self, waiter: Waiter) -> None:
        """Add a trigger that waits, and tell it what is known."""
        self.waiters.add(waiter)
        if self._state:
            waiter.tell(JobState(self._state))

    def see(self, seen: Glimpse, now: float) -> bool:
        """Take note of a look at the job, and tell whether its state is another."""
        self.is_swept, self.seen_at = False, now
        self.failures, self.failing_since, self.missing_since = 0, None, None
        self.changed_at = seen.update_time or self.changed_at
        if not seen.state or seen.state == self._state:
            return False
        self._state = seen.state
        for waiter in self.waiters:
            waiter.tell(JobState(seen.state))
        return True

    def may_appear(self, now: float, today: datetime) -> bool:
        """Take note that there is no such job, and tell whether it may only be too new to be known.

        :param now: in the loop's time; ``today`` is the same in the service's.
        """
        if self._state or (self.changed_at is not None and today - self.changed_at > _NEW):
            return False
        self.missing_since = now if self.missing_since is None else self.missing_since
        return now - self.missing_since < _GRACE_SECONDS

    def fail(self, error: BaseException, *, since: float | None = None) -> None:
        """End the waiting with an error, for all or for those that have waited since then."""
        for waiter in self.waiters:
            if since is None or waiter.since <= since:
                waiter.fail(error)

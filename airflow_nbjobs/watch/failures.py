"""Requests that fail: when waiting tasks log it, when lists are given up, and when the waiting ends.

All times without a date are of the event loop, in seconds.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import UTC, datetime

from airflow_nbjobs.api.pacing import Patience
from airflow_nbjobs.exceptions import ApiError, CredentialsError, UnauthenticatedError

__all__ = ["Failures", "ListHealth", "Outage", "OutageReports", "is_about_all"]

log = logging.getLogger(__name__)

_LIST_AGAIN_SECONDS = 300.0
"""A list that was given up is tried again after this time: the permission may have been granted."""

_REPORT_AGAIN_SECONDS = 30.0
"""The time from the first report of an outage to the second. Each later report comes when the outage has doubled."""


def is_about_all(error: ApiError | CredentialsError) -> bool:
    """Return whether an error concerns all requests: the token is missing or not valid."""
    return isinstance(error, CredentialsError | UnauthenticatedError)


@dataclass(slots=True)
class Failures:
    """Requests that failed one after the other.

    :ivar since: when the first of them failed; ``None`` if no request failed.
    """

    count: int = 0
    since: float | None = None

    def add(self, now: float) -> None:
        """Record one more failure."""
        self.count += 1
        self.since = now if self.since is None else self.since

    def clear(self) -> None:
        """Record a success."""
        self.count, self.since = 0, None

    def patience_lost_before(self, patience: Patience, now: float) -> float | None:
        """Return up to when a trigger must have joined to have seen enough failures; ``None`` if none has.

        It has waited since the first failure, or for as long as the patience lasts.
        """
        if self.since is None or (self.count < patience.tries and now - self.since <= patience.seconds):
            return None
        return max(self.since, now - patience.seconds)


@dataclass(frozen=True)
class Outage:
    """What a waiting task gets to know about requests that fail.

    :ivar error: of the last request.
    :ivar since: when the first request failed.
    :ivar is_over: whether requests work again.
    """

    error: ApiError | CredentialsError
    since: datetime
    is_over: bool = False


class OutageReports:
    """Decides when to report: at the first failure, then at growing intervals, then when requests work again.

    :ivar current: the last report of the outage that is under way.
    """

    def __init__(self) -> None:
        self.current: Outage | None = None
        self._began = self._next = 0.0

    def failed(self, error: ApiError | CredentialsError, now: float) -> Outage | None:
        """Record a failed request, and return what to report now, if anything."""
        if self.current is None:
            self._began = self._next = now
        if now < self._next:
            return None
        self._next = now + max(_REPORT_AGAIN_SECONDS, now - self._began)
        self.current = Outage(error, self.current.since if self.current else datetime.now(UTC))
        return self.current

    def worked(self) -> Outage | None:
        """Record that requests work, and return what to report now, if anything."""
        outage, self.current = self.current, None
        return outage and Outage(outage.error, outage.since, is_over=True)


class ListHealth:
    """Decides when a poller has to do without lists: they may be refused, or fail for minutes while gets work.

    :param parent: ``projects/p/locations/l``.
    :param patience: a list may fail for a third of its ``seconds`` before it is given up.
    """

    def __init__(self, parent: str, patience: Patience) -> None:
        self._parent = parent
        self._limit = patience.seconds / 3
        self._not_before = 0.0
        self._failures = Failures()
        self._logged: type[Exception] | None = None

    def is_usable(self, now: float) -> bool:
        """Return whether lists are to be read."""
        return now >= self._not_before

    def worked(self) -> None:
        """Record that a list worked."""
        self._failures.clear()
        self._logged = None

    def failed(self, error: ApiError | CredentialsError, now: float) -> bool:
        """Record that a list failed, and return whether to do without lists now. Each error is logged once."""
        if is_about_all(error):
            return False
        self._failures.add(now)
        if error.is_transient and now - (self._failures.since or now) < self._limit:
            return False
        self._not_before = now + _LIST_AGAIN_SECONDS
        if type(error) is not self._logged:
            self._logged = type(error)
            log.warning(
                "Failed to list the notebook jobs in %s: %s. Until the list works again, each job that a task waits "
                "for is read by a separate request, and event triggers report nothing. Grant "
                "aiplatform.notebookExecutionJobs.list if the permission is missing.",
                *(self._parent, error),
            )
        return True

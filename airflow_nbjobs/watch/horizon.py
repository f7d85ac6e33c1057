"""How far back a list has to be read so that no change is missed. Arithmetic only.

Jobs are listed by ``update_time desc``: what has changed since the last round comes first, and a round reads until it
meets what the last one has shown.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any, NamedTuple

from airflow_nbjobs.api import calls
from airflow_nbjobs.api.calls import Call, Page

__all__ = ["OVERLAP", "Glimpse", "Horizon", "aware_time", "get_glimpse", "is_descending", "is_past", "list_glimpses"]

OVERLAP = timedelta(seconds=10)
"""
How long after its ``update_time`` a change may take to appear in a list, and how far the clocks of the service's
machines may be apart. It is not documented, and what takes longer is found by the slow re-check.
"""


class Glimpse(NamedTuple):
    """What a poller needs of a job. A page of them is read in a fraction of the time that whole jobs take."""

    job_id: str
    state: str
    update_time: datetime | None

    @classmethod
    def from_wire(cls, job: Mapping[str, Any]) -> Glimpse:
        """Read a job as far as it is needed; what cannot be read of it is as good as absent.

        :raises ValueError: when it has no name: it is no job then.
        """
        name, state = job.get("name"), job.get("jobState")
        job_id = name.rpartition("/")[2] if isinstance(name, str) else ""
        if not job_id:
            raise ValueError(f"a job without a name: {name!r}")
        return cls(
            job_id,
            state if isinstance(state, str) else "",
            aware_time(job.get("updateTime")),
        )


_YEARS = range(1970, 9000)
"""No time of this service is in another year, and one that is cannot be reckoned with."""


def aware_time(value: object) -> datetime | None:
    """Read an ISO 8601 time; an odd one is as good as absent, and so is one that no other can be compared with.

    That is one without a time zone, or so early or late that there is nothing before it or after it.
    """
    try:
        moment = datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        return None
    return moment if moment is not None and moment.tzinfo is not None and moment.year in _YEARS else None


def list_glimpses(parent: str) -> Call[Page[Glimpse]]:
    """Return the call for the jobs that were changed last, a page as large as the service gives."""
    call = calls.list_jobs(parent, order_by="update_time desc", page_size=calls.PAGE_LIMIT)
    return Call(call.verb, call.path, Page.reader("notebookExecutionJobs", Glimpse.from_wire), call.query)


def get_glimpse(name: str) -> Call[Glimpse]:
    """Return the call for one job."""
    call = calls.get_job(name)
    return Call(call.verb, call.path, calls.about(name, Glimpse.from_wire), call.query)


def is_past(page: Sequence[Glimpse], moment: datetime) -> bool:
    """Tell whether a page reaches back beyond a moment: no later page has a change that is not older."""
    return any(seen.update_time is not None and seen.update_time < moment for seen in page)


def is_descending(page: Sequence[Glimpse]) -> bool:
    """Tell whether a page is in the order that was asked for, but for what changes while it is made."""
    times = [seen.update_time for seen in page if seen.update_time is not None]
    return all(later - earlier <= OVERLAP for earlier, later in pairwise(times))


@dataclass(frozen=True)
class Horizon:
    """All changes up to here are known, but for those that show late.

    :ivar moment: in the service's time; ``None`` before the first round, which has nothing to catch up with.
    :ivar as_of: in the loop's time: when it was that late in the service's.
    """

    moment: datetime | None = None
    as_of: float = 0.0

    def is_reached(self, page: Sequence[Glimpse]) -> bool:
        """Tell whether a round that has read this page has seen everything that is new."""
        return self.moment is None or is_past(page, self.moment - OVERLAP)

    def after(self, first_page: Sequence[Glimpse], began: datetime, now: float) -> Horizon:
        """Return the horizon after a round.

        It moves on also when nothing changes, as time does: else a thousand jobs that changed at once, the last ones to
        do so, would be read again in each round.

        :param first_page: what it read first. Later pages are older, and what changed meanwhile is in none of them.
        :param began: when it began, by this machine's clock. A job from the future, whose time some machine's clock
            got wrong, must not hide all those that change until then. Where this machine's clock is the one that is
            behind, the rounds read more than they need to.
        :param now: the same in the loop's time.
        """
        times = [min(seen.update_time, began) for seen in first_page if seen.update_time is not None]
        if self.moment is not None:
            times.append(self.moment + timedelta(seconds=now - self.as_of))
        return Horizon(max(times), now) if times else self

"""How far back a list has to be read so that no change is missed. Arithmetic only.

Jobs are listed by ``update_time desc``: what has changed since the last round comes first, and a round reads until it
reaches what the last one has shown.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any, NamedTuple

from airflow_nbjobs.api import calls
from airflow_nbjobs.api.calls import Call, Page

__all__ = ["OVERLAP", "Cursor", "JobUpdate", "get_update", "is_past", "list_updates", "parse_time"]

OVERLAP = timedelta(seconds=10)
"""
How long after its ``update_time`` a change may take to appear in a list, and how far the clocks of the service's
machines may be apart. The service documents no limit; the slow re-check finds what takes longer.
"""


class JobUpdate(NamedTuple):
    """What a poller needs of a job. A page of these is parsed in a fraction of the time that whole jobs take.

    :ivar job_id: last segment of the job's name.
    :ivar state: the service's ``jobState``; empty if it is missing.
    :ivar update_time: ``None`` if it is missing or not valid.
    :ivar wire: the job as the service sent it.
    """

    job_id: str
    state: str
    update_time: datetime | None
    wire: Mapping[str, Any] = MappingProxyType({})

    @classmethod
    def from_wire(cls, job: Mapping[str, Any]) -> JobUpdate:
        """Parse a job. A field that is not valid counts as missing.

        :raises ValueError: if the name is missing: the answer is not a job.
        """
        name, state = job.get("name"), job.get("jobState")
        job_id = name.rpartition("/")[2] if isinstance(name, str) else ""
        if not job_id:
            raise ValueError(f"a job without a name: {name!r}")
        return cls(job_id, state if isinstance(state, str) else "", parse_time(job.get("updateTime")), job)


def parse_time(value: object) -> datetime | None:
    """Parse an ISO 8601 time with a time zone.

    :returns: ``None`` if it is not valid, or has no time zone and cannot be compared with others.
    """
    try:
        moment = datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        return None
    return moment if moment is not None and moment.tzinfo is not None else None


def list_updates(parent: str) -> Call[Page[JobUpdate]]:
    """Return the call for the jobs that changed last, in pages as large as the service allows.

    :param parent: ``projects/p/locations/l``.
    """
    call = calls.list_jobs(parent, order_by="update_time desc", page_size=calls.PAGE_LIMIT)
    return Call(call.verb, call.path, Page.reader("notebookExecutionJobs", JobUpdate.from_wire), call.query)


def get_update(name: str) -> Call[JobUpdate]:
    """Return the call for one job.

    :param name: whole name of the job.
    """
    call = calls.get_job(name)
    return Call(call.verb, call.path, calls.about(name, JobUpdate.from_wire), call.query)


def is_past(updates: Sequence[JobUpdate], moment: datetime, overlap: timedelta = timedelta()) -> bool:
    """Return whether a page has a job that changed before a moment, less the overlap: all later pages are older."""
    # The difference of two times is always defined. The first or the last time of all, less an overlap, is not.
    return any(seen.update_time is not None and moment - seen.update_time > overlap for seen in updates)


@dataclass(frozen=True)
class Cursor:
    """All changes up to here are known, except those that appear late.

    :ivar moment: in the service's time; ``None`` before the first round.
    :ivar as_of: the loop's time at ``moment``, in seconds.
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

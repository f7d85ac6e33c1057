"""Jobs that have to be looked up: by the page while that is cheaper, then one by one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import islice

from airflow_nbjobs.api.calls import Call, Page
from airflow_nbjobs.watch.cursor import is_past
from airflow_nbjobs.watch.updates import JobUpdate
from airflow_nbjobs.watch.waiters import WatchedJob

__all__ = ["FEW", "RECHECK_SECONDS", "Lookups", "Sweep"]

FEW = 3
"""Up to this number, jobs are looked up one by one: a list shows the jobs of all users."""

RECHECK_SECONDS = 600.0
"""A job that was not listed for so long is looked up: it was deleted, or a list has missed it."""


@dataclass
class Sweep:
    """A search in a list, page after page, back to the oldest change of the wanted jobs.

    Jobs that change meanwhile leave the later pages; the rounds show them.

    :ivar call: gets the next page.
    :ivar wanted: ids of the jobs that no page has shown yet.
    :ivar back_to: the oldest change, in the service's time.
    """

    call: Call[Page[JobUpdate]]
    wanted: set[str]
    back_to: datetime
    pages: int = 0

    def is_over(self, page: Page[JobUpdate]) -> bool:
        """Return whether to stop after this page; otherwise turn to the next one.

        A sweep stops when it has cost as much as a get for each missing job: it doubles the cost at worst.
        """
        self.pages += 1
        is_at_end = not page.next_page_token or is_past(page.items, self.back_to)
        if is_at_end or self.pages >= len(self.wanted):
            return True
        self.call = self.call.with_page_token(page.next_page_token)
        return False


class Lookups:
    """Jobs to look up, first come first served.

    :param jobs: all jobs that the poller watches, by id.
    :param recheck: seconds after which a job that was not listed is looked up.
    :param now: in the loop's time.
    :ivar sweep: the search by the page that is under way.
    """

    def __init__(self, jobs: Mapping[str, WatchedJob], recheck: float, now: float) -> None:
        self._jobs = jobs
        self._recheck = recheck
        self._next_recheck = now + recheck
        self._queue: dict[str, bool] = {}  # in order, and whether a sweep may find it
        self.sweep: Sweep | None = None

    def __bool__(self) -> bool:
        return self.sweep is not None or bool(self._queue)

    def add(self, ids: Iterable[str], *, by_page: bool = True) -> None:
        """Look these jobs up too.

        :param by_page: whether a sweep may find them; without it they are looked up one by one.
        """
        wanted = self.sweep.wanted if self.sweep else ()
        for job_id in ids:
            if job_id not in wanted:
                self._queue.setdefault(job_id, by_page)

    def add_missed(self, seen: set[str], pages: int) -> set[str] | None:
        """Look up one by one the jobs that a list has not shown, if that costs less than reading on.

        :param seen: ids of the jobs that the list has shown.
        :param pages: how many pages of it were read.
        :returns: their ids; ``None`` to read on.
        """
        if pages + len(seen) < len(self._jobs):  # more are missing than that
            return None
        missed = self._jobs.keys() - seen
        if pages < len(missed):
            return None
        self.add(missed, by_page=False)
        return missed

    def add_stale(self, now: float, per_minute: int) -> None:
        """Look up jobs that were last seen long ago, a few at a time.

        :param now: in the loop's time.
        :param per_minute: the budget of requests, a twelfth of which this may take.
        """
        if now < self._next_recheck:
            return
        self._next_recheck = now + self._recheck / 10
        stale = (job_id for job_id, job in self._jobs.items() if job.seen_at < now - self._recheck)
        self.add(islice(stale, max(1, int(per_minute * self._recheck / 600 / 12))))

    def discard(self, job_id: str) -> None:
        """Stop looking this job up."""
        self._queue.pop(job_id, None)
        if self.sweep is not None:
            self.sweep.wanted.discard(job_id)
            if not self.sweep.wanted:
                self.sweep = None

    def begin_sweep(self, call: Call[Page[JobUpdate]]) -> None:
        """Look up by the page all jobs whose last change is known, unless they are few.

        :param call: gets the first page.
        """
        if self.sweep is not None or len(self._queue) <= FEW:
            return
        known = ((job_id, self._jobs[job_id].changed_at) for job_id, by_page in self._queue.items() if by_page)
        changes = {job_id: changed_at for job_id, changed_at in known if changed_at}
        if len(changes) <= FEW:
            return
        self.sweep = Sweep(call, set(changes), min(changes.values()))
        for job_id in changes:
            del self._queue[job_id]

    def end_sweep(self) -> None:
        """Look up one by one the jobs that the sweep did not find."""
        sweep, self.sweep = self.sweep, None
        if sweep is not None:
            self.add(sweep.wanted, by_page=False)

    def next_job(self) -> WatchedJob:
        """Return the job to get next."""
        return self._jobs[next(iter(self._queue))]

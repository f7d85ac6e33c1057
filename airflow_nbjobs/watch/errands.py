"""Jobs that have to be looked for: a page at a time while that is cheaper, and then one by one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from airflow_nbjobs.api.calls import Call, Page
from airflow_nbjobs.watch.horizon import Glimpse, is_past
from airflow_nbjobs.watch.jobs import WatchedJob

__all__ = ["FEW", "Errand", "Sweep"]

FEW = 3
"""So many jobs are asked for one by one: a list shows everybody's."""


@dataclass
class Sweep:
    """Jobs that are looked for in a list, page after page, back to where the oldest of them can be.

    What changes meanwhile leaves the pages that are yet to come, and shows in the rounds.

    :ivar call: asks for the next page.
    :ivar wanted: ids of the jobs that were not met yet.
    :ivar back_to: in the service's time.
    """

    call: Call[Page[Glimpse]]
    wanted: set[str]
    back_to: datetime
    pages: int = 0

    def is_over(self, page: Page[Glimpse]) -> bool:
        """Tell whether to read no further, and turn to the next page otherwise.

        It is given up when it has cost as much as asking for the rest one by one: at worst it doubles the price.
        """
        self.pages += 1
        is_at_end = not page.next_page_token or is_past(page.items, self.back_to)
        if is_at_end or self.pages >= len(self.wanted):
            return True
        self.call = self.call.with_page_token(page.next_page_token)
        return False


class Errand:
    """Jobs to look for, in the order in which they came.

    :param jobs: all that the poller watches.
    """

    def __init__(self, jobs: Mapping[str, WatchedJob]) -> None:
        self._jobs = jobs
        self._one_by_one: dict[str, None] = {}  # a set that keeps its order
        self.sweep: Sweep | None = None

    def __bool__(self) -> bool:
        return self.sweep is not None or bool(self._one_by_one)

    def add(self, ids: Iterable[str]) -> None:
        """Look for these too."""
        wanted = self.sweep.wanted if self.sweep else ()
        for job_id in ids:
            if job_id not in wanted:
                self._one_by_one.setdefault(job_id)

    def drop(self, job_id: str) -> None:
        """Look for this one no more."""
        self._one_by_one.pop(job_id, None)
        if self.sweep is not None:
            self.sweep.wanted.discard(job_id)
            if not self.sweep.wanted:
                self.sweep = None

    def begin_sweep(self, call: Call[Page[Glimpse]]) -> None:
        """Look by the page for all of whom it is known how far back they can be, unless they are few."""
        if self.sweep is not None or len(self._one_by_one) <= FEW:
            return
        known = ((job_id, self._jobs[job_id]) for job_id in self._one_by_one)
        back_to = {job_id: job.changed_at for job_id, job in known if job.changed_at and not job.is_swept}
        if len(back_to) <= FEW:
            return
        self.sweep = Sweep(call, set(back_to), min(back_to.values()))
        for job_id in back_to:
            del self._one_by_one[job_id]

    def end_sweep(self) -> None:
        """Ask one by one for those that were not met."""
        if self.sweep is None:
            return
        missed, self.sweep = self.sweep.wanted, None
        for job_id in missed:
            self._jobs[job_id].is_swept = True
        self.add(missed)

    def next_one(self) -> WatchedJob:
        """Return the job to ask for next."""
        return self._jobs[next(iter(self._one_by_one))]

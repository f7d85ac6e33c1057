"""No change is missed, however the service's list moves under those who read it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import hypothesis
from hypothesis import strategies as some
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from airflow_nbjobs.api.calls import Page
from airflow_nbjobs.watch.cursor import OVERLAP, Cursor
from airflow_nbjobs.watch.updates import JobUpdate

START = datetime(2026, 11, 22, tzinfo=UTC)
PAGE = 3


class List(RuleBasedStateMachine):
    """A service that lists by its update times, some of them late or of a clock that is off, and one who reads it.

    The job's state is a count here; what was shown of it is kept beside it.
    """

    def __init__(self) -> None:
        super().__init__()
        self.now = START
        self.jobs: dict[str, tuple[datetime, int]] = {}
        self.late: list[tuple[datetime, str, datetime]] = []
        self.shown: dict[str, int] = {}
        self.due: dict[str, int] = {}
        self.cursor = Cursor()
        self.reading: tuple[datetime, list[JobUpdate], str] | None = None

    @rule(seconds=some.sampled_from([0, 0, 1, 5, 40]))
    def time_goes_by(self, seconds: int) -> None:
        self.now += timedelta(seconds=seconds)
        self._appear()

    @rule(job=some.integers(0, 15), skew=some.integers(-4, 4), delay=some.integers(0, 5))
    def a_job_changes(self, job: int, skew: int, delay: int) -> None:
        """Stamp a change by a clock that is off by up to four seconds; it shows up to five seconds later."""
        self.late.append((self.now + timedelta(seconds=delay), str(job), self.now + timedelta(seconds=skew)))
        self._appear()

    def _appear(self) -> None:
        for entry in [entry for entry in self.late if entry[0] <= self.now]:
            self.late.remove(entry)
            _, job, stamp = entry
            before, count = self.jobs.get(job, (stamp, 0))
            self.jobs[job] = (max(before, stamp), count + 1)
            self.due.pop(job, None)  # it moved ahead of the round that is under way: the next one has to show it

    def _page(self, token: str) -> Page[JobUpdate]:
        """Return a page; a token is a place in the order, so that what changes leaves the pages to come."""
        rows = sorted(((stamp, job) for job, (stamp, _) in self.jobs.items()), key=_place, reverse=True)
        rows = [row for row in rows if not token or _place(row) < token]
        items = [JobUpdate(job, str(self.jobs[job][1]), stamp) for stamp, job in rows[:PAGE]]
        return Page(items, _place(rows[PAGE - 1]) if len(rows) > PAGE else "")

    @precondition(lambda self: self.reading is None)
    @rule()
    def a_round_begins(self) -> None:
        self.due = {job: count for job, (_, count) in self.jobs.items()} if self.cursor.moment else {}
        self.reading = (self.now, [], "")

    @precondition(lambda self: self.reading is not None)
    @rule()
    def the_round_reads_a_page(self) -> None:
        assert self.reading
        began, first, token = self.reading
        page = self._page(token)
        if not token:
            first = page.items
        for seen in page.items:
            self.shown[seen.job_id] = max(self.shown.get(seen.job_id, 0), int(seen.state))
        if not self.cursor.is_reached(page.items) and page.next_page_token:
            self.reading = (began, first, page.next_page_token)
            return
        if self.cursor.moment is None:  # what was before the first round is for the sweep to find
            self.shown = {job: count for job, (_, count) in self.jobs.items()}
            self.due = {}
        self.cursor = self.cursor.after(first, began, (began - START).total_seconds())
        self.reading = None

    @invariant()
    def what_had_changed_before_a_round_was_shown_by_it(self) -> None:
        if self.reading is None:
            missed = {job: count for job, count in self.due.items() if self.shown.get(job, 0) < count}
            assert not missed


def _place(row: tuple[datetime, str]) -> str:
    return f"{row[0].timestamp():020.3f} {row[1]:>3}"


List.TestCase.settings = hypothesis.settings(stateful_step_count=30)
TestList = List.TestCase


def update(seconds: float, job_id: str = "1") -> JobUpdate:
    return JobUpdate(job_id, "JOB_STATE_RUNNING", START + timedelta(seconds=seconds))


def test_jobs_of_the_same_instant_are_all_read():
    cursor = Cursor(START)
    edge = update(-OVERLAP.total_seconds())
    assert not cursor.is_reached([update(0), edge, edge])
    assert cursor.is_reached([edge, update(-OVERLAP.total_seconds() - 0.001)])


def test_a_job_from_the_future_does_not_hide_those_that_change_until_then():
    assert Cursor().after([update(300), update(-1)], began=START, now=0.0).moment == START


def test_a_deletion_does_not_move_the_cursor_back():
    assert Cursor(START).after([update(-50)], began=START, now=0.0).moment == START


def test_a_list_without_times_leaves_the_cursor_to_the_time_that_goes_by():
    page = [JobUpdate("1", "", None)]
    assert Cursor().after(page, began=START, now=5.0) == Cursor()
    assert Cursor(START, 5.0).after(page, began=START, now=7.0) == Cursor(START + timedelta(seconds=2), 7.0)


def test_jobs_that_changed_all_at_once_are_read_again_until_no_change_can_show_late_and_no_longer():
    page = [update(0)]
    cursor = Cursor().after(page, began=START, now=100.0)
    for now in (107.0, 110.0):
        cursor = cursor.after(page, began=START, now=now)
        assert not cursor.is_reached(page)
    assert cursor.after(page, began=START, now=111.0).is_reached(page)

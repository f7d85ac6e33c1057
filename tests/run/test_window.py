"""Which job belongs to a data interval, and why there is none."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_nbjobs.api.job import NotebookExecutionJob
from airflow_nbjobs.api.schedule import Schedule
from airflow_nbjobs.exceptions import InvalidNotebookJobError
from airflow_nbjobs.run.schedule_runs import why_no_run
from airflow_nbjobs.run.window import Window, as_time

DAY = datetime(2026, 11, 22, tzinfo=UTC)
HOUR = timedelta(hours=1)
WINDOW = Window.of(DAY, DAY + 24 * HOUR, HOUR)


def job(after: timedelta) -> NotebookExecutionJob:
    """Return a job that was created so long after the begin of the day."""
    return NotebookExecutionJob(name=str(after), create_time=DAY + after)


@pytest.mark.parametrize(
    ("hours", "chosen"),
    [
        ([6], 6),
        ([6, 18], 18),  # somebody has repeated it
        ([0], 0),
        ([24], 24),
        ([23, 24], 23),
        ([24, 24.5], 24),
        ([24.99], 24.99),
        ([-1, 25], None),
        ([], None),
    ],
)
def test_the_newest_of_the_interval_counts_or_the_first_late_one(hours: list[float], chosen: float | None) -> None:
    found = WINDOW.choose([job(hour * HOUR) for hour in hours])
    assert found == (None if chosen is None else job(chosen * HOUR))
    assert WINDOW.choose([job(hour * HOUR) for hour in reversed(hours)]) == found


@given(st.lists(st.integers(-30, 60)), st.integers(0, 60))
def test_a_later_look_chooses_the_same_job(hours: list[int], seen: int) -> None:
    """A job of a later interval never takes the place of the one that was seen when the interval was over."""
    jobs = [job(hour * HOUR) for hour in hours]
    early = WINDOW.choose([each for each in jobs if each.create_time <= DAY + max(seen, 24) * HOUR])
    if early is not None:
        assert WINDOW.choose(jobs) == early


def test_an_interval_without_a_length_is_its_grace_alone() -> None:
    window = Window.of(DAY, DAY, HOUR)
    assert window.choose([job(-HOUR), job(HOUR / 2), job(HOUR / 3)]) == job(HOUR / 3)
    assert Window.of(DAY, DAY, 0).choose([job(timedelta(0))]) is None


@pytest.mark.parametrize(
    ("start", "end", "grace", "problem"),
    [
        (None, None, 0, "has no data interval.*give interval_start and interval_end"),
        (DAY, None, 0, "has no data interval"),
        (None, DAY, 0, "has no data interval"),
        (DAY, DAY - HOUR, 0, "The interval ends at 2026-11-21T23:00:00.*, before it starts"),
        (DAY, DAY, -1, "grace=-1 is not a duration: give seconds or a timedelta"),
        (DAY, DAY, "soon", "grace='soon' is not a duration"),
        (DAY, DAY, -HOUR, "is not a duration"),
    ],
)
def test_a_window_that_cannot_be_is_refused(start: Any, end: Any, grace: Any, problem: str) -> None:
    with pytest.raises(InvalidNotebookJobError, match=problem):
        Window.of(start, end, grace)


@pytest.mark.parametrize("value", [None, "", "None"])
def test_a_missing_time_is_none(value: Any) -> None:
    assert as_time("interval_start", value) is None


@pytest.mark.parametrize("value", [DAY, DAY.isoformat(), str(DAY), "2026-11-22T01:00:00+01:00"])
def test_a_time_may_be_text(value: Any) -> None:
    assert as_time("interval_start", value) == DAY


@pytest.mark.parametrize("value", ["today", "2026-11-22T00:00:00", 5, datetime(2026, 11, 22)])  # noqa: DTZ001 - wrong
def test_a_time_without_a_zone_is_refused(value: Any) -> None:
    with pytest.raises(InvalidNotebookJobError, match=r"interval_start=.* is not a time: give one with a time zone"):
        as_time("interval_start", value)


def test_a_schedule_that_did_not_run_says_what_is_known_of_it() -> None:
    known = {"name": "projects/p/locations/l/schedules/1", "displayName": "daily", "state": "PAUSED"}
    answered = {"scheduledRunTime": "2026-11-20T06:00:00Z", "runResponse": "OK"}
    times = {"lastPauseTime": "2026-11-21T00:00:00Z", "lastScheduledRunResponse": answered}
    assert why_no_run(Schedule.from_wire({**known, **times}), WINDOW) == (
        "The schedule 'daily' did not run between 2026-11-22T00:00:00+00:00 and 2026-11-23T00:00:00+00:00 (or late, "
        "until 2026-11-23T01:00:00+00:00): it created no job then. It is PAUSED since 2026-11-21T00:00:00+00:00; its "
        "last run, due at 2026-11-20T06:00:00+00:00, was answered 'OK'; it has no next run. Schedule: "
        "projects/p/locations/l/schedules/1"
    )
    active = {**known, "state": "ACTIVE", "nextRunTime": "2026-11-24T06:00:00Z"}
    assert "It is ACTIVE; it has not run yet; its next run is due at 2026-11-24T06:00:00+00:00." in why_no_run(
        Schedule.from_wire(active), WINDOW
    )

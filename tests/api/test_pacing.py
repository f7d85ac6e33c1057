"""When to look again, and when to give up."""

from __future__ import annotations

import math
from collections.abc import Callable
from unittest import mock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_nbjobs.api.pacing import backoff, bounded_retry_after, next_look, positive_seconds, queue_pause
from airflow_nbjobs.exceptions import InvalidNotebookJobError

shares = st.floats(0, 1, exclude_max=True)
seconds = st.floats(0.001, 1e6)


def spread(share: float, pause: Callable[..., float], *given: float | None) -> float:
    """Return a pause with this share of its jitter."""
    with mock.patch("airflow_nbjobs.api.pacing.random.random", return_value=share):
        return pause(*given)


@given(st.integers(1, 10**6), st.none() | st.floats(0, 1e5), shares)
def test_a_backoff_is_jittered_and_bounded(attempt, retry_after, share):
    asked = retry_after or 0.0
    pause = spread(share, backoff, attempt, retry_after)
    assert asked <= pause <= asked + 30
    assert pause == asked + share * min(30.0, 0.5 * 2 ** min(attempt, 20))


def test_backoffs_double_up_to_half_a_minute():
    assert [spread(0.5, backoff, attempt) for attempt in range(1, 9)] == [0.5, 1, 2, 4, 8, 15, 15, 15]
    assert spread(0.0, backoff, 5) == 0.0


@given(st.integers(1, 10**6), st.none() | st.floats(0, 1e5), shares)
def test_a_turn_is_bounded_and_respects_retry_after(attempt, retry_after, share):
    pause = spread(share, queue_pause, attempt, retry_after)
    assert max(retry_after or 0.0, 12.0) <= pause <= max(retry_after or 0.0, 45.0) + 30.0


def test_turns_are_spread_over_a_minute():
    assert [spread(0.0, queue_pause, attempt) for attempt in (1, 2, 3)] == [12, 45, 45]
    assert [spread(0.5, queue_pause, attempt, 50.0) for attempt in (1, 2, 3)] == [54, 65, 65]


@given(st.none() | st.floats(0), st.floats(0.1, 1e6))
def test_a_rest_leaves_time_for_two_more_tries(retry_after, seconds):
    pause = bounded_retry_after(retry_after, seconds)
    assert 0 <= pause <= min(300, seconds / 3)
    assert pause == (retry_after or 0) or pause == min(300, seconds / 3)


@pytest.mark.parametrize("look", [lambda: backoff(6), lambda: queue_pause(2), lambda: next_look(300.0)])
def test_pauses_are_random_by_default(look):
    assert len({look() for _ in range(20)}) > 1
    assert all(0 <= pause <= 300 for pause in (look() for _ in range(20)))


@given(seconds, shares)
def test_a_poll_comes_within_the_last_tenth_of_the_interval(interval, share):
    assert 0.9 * interval <= spread(share, next_look, interval) <= interval


@given(seconds)
def test_seconds_are_a_number_or_its_text(value):
    assert positive_seconds("poll_interval", value) == positive_seconds("poll_interval", repr(value)) == value


@pytest.mark.parametrize("value", [0, -1, "", "soon", None, math.nan, math.inf, "inf", [], {}])
def test_a_bad_time_is_refused_with_argument_value_and_remedy(value):
    with pytest.raises(InvalidNotebookJobError) as refused:
        positive_seconds("poll_interval", value)
    assert str(refused.value) == f"poll_interval={value!r} is not a time: give seconds, more than 0."

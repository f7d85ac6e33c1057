"""The arithmetic of pauses."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as some

from airflow_nbjobs.watch.rounds import longer_pause, quick_pause


@given(some.floats(0.01, 86400))
def test_pauses_grow_up_to_the_interval(interval: float):
    pause = quick_pause(interval)
    assert 0 < pause <= interval
    for _ in range(10):
        longer = longer_pause(pause, interval)
        assert pause <= longer <= interval
        pause = longer
    assert pause == interval


def test_the_first_look_comes_after_a_quarter_of_the_interval():
    assert (quick_pause(30), quick_pause(4), quick_pause(1)) == (7.5, 2.0, 1.0)

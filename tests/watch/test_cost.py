"""What waiting and importing cost beside the Google provider's own, held with slack: `make bench` measures it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from bench import imports
from bench.measure import in_fresh_process
from bench.waiting import Case, measure_alone

INTERVAL = 2.0


@pytest.fixture(scope="module")
def crowds() -> tuple[dict[str, Any], dict[str, Any]]:
    """Let a thousand of our triggers and a hundred of the peer's wait at the same time, each in their process."""
    cases = [Case("ours", 1_000, INTERVAL, seconds=10.0), Case("vertex", 100, INTERVAL, seconds=10.0)]
    with ThreadPoolExecutor() as pool:
        ours, peers = pool.map(measure_alone, cases)
    return ours, peers


def test_a_thousand_send_less_than_a_hundredth_of_the_requests(crowds: tuple[dict[str, Any], ...]):
    ours, peers = crowds
    assert peers["requests_per_minute"] == pytest.approx(100 * 60 / INTERVAL, rel=0.2)
    assert sum(ours["requests_windows"]) <= 1_000 * len(ours["requests_windows"]) / 100


def test_a_thousand_take_less_than_an_eighth_of_the_cpu(crowds: tuple[dict[str, Any], ...]):
    """A twentieth is the goal, on a machine that does nothing else."""
    ours, peers = crowds
    assert ours["cpu_per_minute"] <= 10 * peers["cpu_per_minute"] / 8


def test_one_more_takes_little_memory(crowds: tuple[dict[str, Any], ...]):
    assert crowds[0]["kb_per_waiter"] <= 20


def test_no_turn_of_the_loop_is_long(crowds: tuple[dict[str, Any], ...]):
    assert crowds[0]["busy_ms"] <= 50


def test_every_end_is_noticed_in_time(crowds: tuple[dict[str, Any], ...]):
    ours, _ = crowds
    assert ours["ended"] == 110
    assert ours["unnoticed"] == 0
    assert ours["latency_median"] <= INTERVAL / 2 + 2


@pytest.mark.parametrize(
    ("case", "times", "megabytes"),
    [("ours: operators, sensors, links", 8, 15), ("ours: trigger", 4, 50)],
    ids=["operators", "trigger"],
)
def test_ours_is_imported_in_a_fraction_of_what_airflow_takes(case: str, times: float, megabytes: float):
    cost = in_fresh_process("bench.imports", *imports.CASES[case])
    assert cost["cpu_seconds"] * times <= cost["base_cpu_seconds"]
    assert cost["mb"] <= megabytes

"""What waiting, importing and submitting cost beside the Google provider's own, held with slack.

`make bench` measures it. Here all of it goes on side by side, each crowd, import and wave in processes of its own.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from bench import imports
from bench.measure import in_fresh_process
from bench.services import Ours, Vertex
from bench.services import ours as our_service
from bench.waiting import Case, measure_alone

INTERVAL = 2.0
CREATES, REFUSED = 24, 12
_REFUSAL = {"method": "create", "status": 429, "times": REFUSED}


def _crowd(side: str, count: int) -> dict[str, Any]:
    return measure_alone(Case(side, count, INTERVAL, first_seconds=2 * INTERVAL, seconds=4 * INTERVAL))


def _import(case: str) -> dict[str, Any]:
    return in_fresh_process("bench.imports", *imports.CASES[case])


def _task(side: str) -> dict[str, Any]:
    with our_service() as service:
        return in_fresh_process("tests.support.deferring", side, env=service.env)


MEASURED: dict[str, Callable[[], dict[str, Any]]] = {
    "a thousand of ours": lambda: _crowd("ours", 1_000),
    "a hundred of the peer's": lambda: _crowd("vertex", 100),
    "our task": lambda: _task("ours"),
    "the peer's task": lambda: _task("vertex"),
    "a wave": lambda: in_fresh_process("bench.submission", str(CREATES), json.dumps(_REFUSAL)),
    **{case: lambda case=case: _import(case) for case in imports.CASES if "ours" in case or case == imports.PEER},
}


@pytest.fixture(scope="module")
def costs() -> dict[str, dict[str, Any]]:
    with ThreadPoolExecutor(len(MEASURED)) as pool:
        running = {what: pool.submit(measure) for what, measure in MEASURED.items()}
    return {what: cost.result() for what, cost in running.items()}


@pytest.fixture
def ours(costs: dict[str, dict[str, Any]]) -> dict[str, Any]:
    return costs["a thousand of ours"]


@pytest.fixture
def peers(costs: dict[str, dict[str, Any]]) -> dict[str, Any]:
    return costs["a hundred of the peer's"]


def test_a_thousand_send_less_than_a_hundredth_of_the_requests(ours: dict[str, Any], peers: dict[str, Any]):
    assert peers["requests_per_minute"] == pytest.approx(100 * 60 / INTERVAL, rel=0.2)
    assert ours["requests_per_minute"] <= 10 * peers["requests_per_minute"] / 100


def test_a_thousand_take_less_than_an_eighth_of_the_cpu(ours: dict[str, Any], peers: dict[str, Any]):
    """A twentieth is the goal, on a machine that does nothing else."""
    assert ours["cpu_per_minute"] <= 10 * peers["cpu_per_minute"] / 8


def test_all_that_a_thousand_send_when_they_come_is_a_page_for_each_hundred(ours: dict[str, Any]):
    assert ours["most_requests_in_a_minute"] <= 1_000 / 100 + 30


def test_one_more_takes_little_memory(ours: dict[str, Any]):
    assert ours["kb_per_waiter"] <= 20


def test_no_turn_of_the_loop_is_long(ours: dict[str, Any]):
    assert ours["busy_ms"] <= 50


def test_every_end_is_noticed_in_time(ours: dict[str, Any]):
    assert ours["ended"] == 110
    assert ours["unnoticed"] == 0
    assert ours["latency_median"] <= INTERVAL / 2 + 2


@pytest.mark.parametrize(
    ("case", "times", "megabytes"),
    [("ours: operators, sensors, links", 8, 15), ("ours: trigger", 4, 50)],
    ids=["operators", "trigger"],
)
def test_ours_is_imported_in_a_fraction_of_what_airflow_takes(
    costs: dict[str, dict[str, Any]], case: str, times: float, megabytes: float
):
    cost = costs[case]
    assert cost["cpu_seconds"] * times <= cost["base_cpu_seconds"]
    assert cost["mb"] <= megabytes


def test_our_operators_are_imported_in_a_twentieth_of_what_the_peers_take(costs: dict[str, dict[str, Any]]):
    operators, peers = costs["ours: operators, sensors, links"], costs[imports.PEER]
    assert 20 * operators["cpu_seconds"] <= peers["cpu_seconds"]
    assert 20 * operators["mb"] <= peers["mb"]


def test_our_task_takes_its_process_less_than_a_quarter_of_the_cpu_up_to_its_deferral(costs: dict[str, dict[str, Any]]):
    ours, peers = costs["our task"], costs["the peer's task"]
    assert (ours["trigger"], peers["trigger"]) == (Ours.classpath, Vertex.classpath)
    assert 4 * ours["cpu_seconds"] <= peers["cpu_seconds"]


def test_of_a_wave_half_of_which_is_refused_none_fails_and_none_is_made_twice(costs: dict[str, dict[str, Any]]):
    wave = costs["a wave"]
    assert (wave["failed"], wave["errors"], wave["twice"]) == (0, [], 0)
    assert wave["jobs"] == CREATES
    assert wave["creates_refused"] == REFUSED

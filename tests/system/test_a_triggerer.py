"""What waiting costs a real triggerer beside the Google provider's own triggers, held with slack.

`make bench` measures it with PostgreSQL, a thousand tasks and one triggerer for each side. Here a few hundred wait in
one triggerer, one side after the other, and none of their jobs ends.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack

import psutil
import pytest

from bench.services import SERVICES, Service
from bench.triggerers import Triggerers

COUNT, INTERVAL = 300, 5.0
FIRST_SECONDS, SECONDS = 7.0, 20.0
SIDES = ("nothing", "ours", "vertex")


@pytest.fixture(scope="module")
def costs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, tuple[float, int]]]:
    """Return the CPU seconds and the requests of each side."""
    folder = tmp_path_factory.mktemp("triggerer")
    with ExitStack() as stack:
        services = {side: stack.enter_context(SERVICES[side]()) for side in SIDES}
        settings = {name: value for service in services.values() for name, value in service.env.items()}
        airflow = stack.enter_context(Triggerers(folder, f"sqlite:///{folder}/airflow.db", settings))
        yield {side: cost(airflow, service, side) for side, service in services.items()}


def cost(airflow: Triggerers, service: Service, side: str) -> tuple[float, int]:
    """Let its triggers wait in a new triggerer."""
    airflow.defer(side, service.jobs(COUNT), INTERVAL)
    airflow.start_component("triggerer")
    airflow.wait_until_taken()
    time.sleep(FIRST_SECONDS)
    before, asked = cpu(airflow), service.requests()
    time.sleep(SECONDS)
    after = cpu(airflow) - before, service.requests() - asked
    airflow.kill("triggerer")
    return after


def cpu(airflow: Triggerers) -> float:
    """Return the CPU seconds of both processes of the triggerer."""
    triggerer = psutil.Process(airflow.pid("triggerer"))
    times = [process.cpu_times() for process in (triggerer, *triggerer.children())]
    assert len(times) == 2
    return sum(each.user + each.system for each in times)


def test_a_triggerer_sends_a_tenth_of_the_peers_requests_at_most(costs: dict[str, tuple[float, int]]) -> None:
    assert costs["vertex"][1] == pytest.approx(COUNT * SECONDS / INTERVAL, rel=0.2)
    assert costs["ours"][1] * 10 <= costs["vertex"][1]


def test_a_triggerer_takes_a_fifth_of_the_peers_cpu_at_most_beyond_what_any_trigger_takes(
    costs: dict[str, tuple[float, int]],
) -> None:
    """A twentieth is the goal, on a machine that does nothing else."""
    floor, ours, peers = (costs[side][0] for side in SIDES)
    assert (ours - floor) * 5 <= peers - floor

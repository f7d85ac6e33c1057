"""What waiting costs a real triggerer beside the Google provider's own triggers, held with slack.

`make bench` measures it with PostgreSQL, a thousand tasks and triggerers that wait at the same time. Here two hundred
wait in one triggerer after the other, and none of their jobs ends.
"""

from __future__ import annotations

import time
from contextlib import ExitStack

import psutil
import pytest

from bench.services import SERVICES, Service
from bench.triggerers import Triggerers

COUNT, INTERVAL = 200, 5.0
FIRST_SECONDS, SECONDS = 6.0, 20.0
FIRST_REQUESTS = {"ours": 1, "vertex": COUNT}
"""When so many were sent, all wait."""


@pytest.fixture(scope="module")
def costs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[float, int]]:
    """Return the CPU seconds and the requests of each side."""
    folder = tmp_path_factory.mktemp("triggerer")
    with ExitStack() as stack:
        services = {side: stack.enter_context(SERVICES[side]()) for side in FIRST_REQUESTS}
        settings = {name: value for service in services.values() for name, value in service.env.items()}
        airflow = stack.enter_context(Triggerers(folder, f"sqlite:///{folder}/airflow.db", settings))
        return {side: cost(airflow, service, side) for side, service in services.items()}


def cost(airflow: Triggerers, service: Service, side: str) -> tuple[float, int]:
    """Let its triggers wait in a new triggerer."""
    airflow.defer(side, service.jobs(COUNT), INTERVAL)
    airflow.start_component("triggerer")
    airflow.wait_until_taken()
    airflow.wait(lambda: service.requests() >= FIRST_REQUESTS[side], 120, f"{side} to be asked")
    time.sleep(FIRST_SECONDS)
    used, asked = cpu(airflow), service.requests()
    time.sleep(SECONDS)
    used, asked = cpu(airflow) - used, service.requests() - asked
    airflow.kill("triggerer")
    return used, asked


def cpu(airflow: Triggerers) -> float:
    """Return the CPU seconds of both processes of the triggerer."""
    triggerer = psutil.Process(airflow.pid("triggerer"))
    both = [triggerer, *triggerer.children()]
    assert len(both) == 2
    return sum(sum(process.cpu_times()[:2]) for process in both)


def test_two_hundred_send_a_tenth_of_the_requests_at_most(costs: dict[str, tuple[float, int]]) -> None:
    (_, ours), (_, peers) = costs["ours"], costs["vertex"]
    assert peers == pytest.approx(COUNT * SECONDS / INTERVAL, rel=0.3)
    assert ours * 10 <= peers


def test_two_hundred_take_a_fifth_of_the_cpu_at_most(costs: dict[str, tuple[float, int]]) -> None:
    """A twentieth is the goal, on a machine that does nothing else, less what Airflow takes for any trigger."""
    (ours, _), (peers, _) = costs["ours"], costs["vertex"]
    assert ours * 5 <= peers

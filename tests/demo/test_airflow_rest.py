"""The demo's client of Airflow's REST API, with a slow server; `tests/system` uses a real Airflow."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import httpx
import pytest

from demo.airflow_rest import AirflowRest
from tests.support.google_lookalike import Answer, Server


@pytest.fixture
def slow() -> Iterator[Callable[[int], tuple[AirflowRest, Server]]]:
    """Return a function that starts a server that answers its first requests too late."""
    servers: list[Server] = []
    is_over = threading.Event()

    def start(late: int) -> tuple[AirflowRest, Server]:
        def answer(number: int) -> Answer:
            if number <= late:
                is_over.wait(60)
            return 200, {}, {"state": "running"}

        servers.append(Server(answer))
        rest = AirflowRest(servers[0].url, "admin", "admin")
        rest._http.timeout = httpx.Timeout(2)  # half a minute otherwise
        return rest, servers[0]

    yield start
    is_over.set()
    for server in servers:
        server.close()


def test_a_request_without_an_answer_is_sent_again(slow: Callable[[int], tuple[AirflowRest, Server]]) -> None:
    rest, server = slow(1)
    assert rest.call("GET", "/dags/a/dagRuns/b") == {"state": "running"}
    assert len(server.seen) == 2


def test_the_client_gives_up_after_two_timeouts(slow: Callable[[int], tuple[AirflowRest, Server]]) -> None:
    rest, server = slow(9)
    with pytest.raises(httpx.TimeoutException):
        rest.call("GET", "/dags/a/dagRuns/b")
    assert len(server.seen) == 2

"""The client, sync and async behind one face, and an emulator that runs no kernels."""

from __future__ import annotations

import secrets
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest

from airflow_nbjobs.api.endpoint import Endpoint
from airflow_nbjobs.api.job import NotebookExecutionJob
from tests.support.raw_server import RawServer
from tests.support.talking import AsyncTalk, SyncTalk

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from airflow_nbjobs.emulator import Emulator
    from tests.support.talking import Talk


@pytest.fixture(params=[SyncTalk, AsyncTalk], ids=["sync", "async"])
def open_talk(request: pytest.FixtureRequest) -> Iterator[Callable[..., Talk]]:
    """Open clients for an address: ``open_talk(url, credentials=None, is_trusted=False)``."""
    opened: list[Talk] = []

    def open_one(url: str, credentials: Any = None, *, is_trusted: bool = False) -> Talk:
        opened.append(request.param(Endpoint(url, is_trusted), credentials))
        return opened[-1]

    yield open_one
    for talk in opened:
        talk.close()


@pytest.fixture
def serve(open_talk: Callable[..., Talk]) -> Iterator[Callable[..., tuple[Talk, RawServer]]]:
    """Start a server and open a client of it: ``serve(*answers, credentials=None)``.

    Each answer is bytes, ``None`` for silence, or a function of the request; the last one is repeated. The client
    trusts the server if there are credentials.
    """
    with ExitStack() as stack:

        def start(*answers: Any, credentials: Any = None) -> tuple[Talk, RawServer]:
            def give(request: str, number: int) -> bytes | None:
                answer = answers[min(number, len(answers) - 1)]
                return answer(request) if callable(answer) else answer

            server = stack.enter_context(RawServer(give))
            return open_talk(server.url, credentials, is_trusted=credentials is not None), server

        yield start


@pytest.fixture(scope="session")
def simulation() -> Iterator[Emulator]:
    from airflow_nbjobs.emulator import Emulator

    with Emulator(runner="simulated", seconds=0.05, cleanup_seconds=0) as emulator:
        yield emulator


@pytest.fixture
def emulator(simulation: Emulator) -> Iterator[Emulator]:
    """Lend the emulator, its counts at zero; a fault that was asked for and not met fails the test."""
    simulation.reset_requests()
    yield simulation
    accounts = simulation.faults()
    simulation.clear_faults()
    assert [account for account in accounts if account["asked"] and account["met"] < account["asked"]] == []


@pytest.fixture
def project() -> str:
    return f"test-{secrets.token_hex(6)}"


@pytest.fixture
def where(project: str) -> str:
    return f"projects/{project}/locations/us-central1"


@pytest.fixture
def talk(open_talk: Callable[..., Talk], emulator: Emulator) -> Talk:
    """Open a client of the emulator."""
    return open_talk(emulator.url)


@pytest.fixture
def a_job() -> NotebookExecutionJob:
    return NotebookExecutionJob.from_wire(
        {
            "displayName": "report",
            "gcsNotebookSource": {"uri": "gs://bucket/report.ipynb"},
            "customEnvironmentSpec": {},
            "gcsOutputUri": "gs://bucket/runs",
            "serviceAccount": "runner@p.iam.gserviceaccount.com",
        }
    )

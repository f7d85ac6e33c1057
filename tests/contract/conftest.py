"""The service that the contract is held to: the emulator, or the real one when ``NBJOBS_LIVE_PROJECT`` is set."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest

from tests.contract.contract_client import ServiceError
from tests.contract.world import LIVE, World, emulated, live

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from airflow_nbjobs.emulator import Emulator
    from tests.contract.contract_client import ContractClient


@pytest.fixture(scope="session")
def simulation() -> Iterator[Emulator]:
    """Run an emulator that starts no kernels."""
    from airflow_nbjobs.emulator import Emulator

    with Emulator(runner="simulated", seconds=0.2, cleanup_seconds=0.0) as emulator:
        yield emulator


@pytest.fixture
def world(request: pytest.FixtureRequest) -> World:
    return live() if LIVE in os.environ else emulated(request.getfixturevalue("nbjobs_emulator"))


@pytest.fixture
def make(client: ContractClient, world: World) -> Iterator[Callable[..., str]]:
    """Create jobs, by ``world.job``'s arguments, that are deleted afterwards; gives the job's name."""
    made: list[str] = []

    def create(name: str = "", code: str = "print(6 * 7)", job_id: str = "", **fields: Any) -> str:
        operation = client.create(world.parent, world.job(name, code, **fields), job_id)
        made.append(operation["name"].partition("/operations/")[0])
        return made[-1]

    yield create
    for name in made:
        try:
            client.delete(name)
        except ServiceError as error:
            if error.code != "NOT_FOUND":
                raise

"""Our own client drives the service through the contract, sync and async."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.contract.own_client import OwnAsyncClient, OwnClient
from tests.contract.scenarios import AskingScenarios, RunningScenarios

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.contract.world import World


@pytest.fixture(params=[OwnClient, OwnAsyncClient], ids=["sync", "async"])
def client(request: pytest.FixtureRequest, world: World) -> Iterator[OwnClient]:
    client = request.param(world.endpoint, world.credentials)
    yield client
    client.close()


class TestOwnClientRuns(RunningScenarios):
    """The scenarios that every client runs."""


class TestOwnClientAsks(AskingScenarios):
    """And those without a kernel."""

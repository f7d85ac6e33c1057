"""The emulators that tests share, each started once in a process, when it is first asked for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from airflow_nbjobs.emulator import Emulator


@pytest.fixture(scope="session")
def simulated() -> Iterator[Emulator]:
    """Run an emulator whose jobs start no kernels and succeed after a moment."""
    with Emulator(runner="simulated", seconds=0.3, cleanup_seconds=0.0) as emulator:
        yield emulator


@pytest.fixture(scope="session")
def lasting() -> Iterator[Emulator]:
    """Run an emulator whose jobs start no kernels and run until something ends them."""
    with Emulator(runner="simulated", seconds=3600.0, cleanup_seconds=0.0) as emulator:
        yield emulator


@pytest.fixture(scope="session")
def kernels() -> Iterator[Emulator]:
    """Run an emulator that executes notebooks, with a bucket for them."""
    with Emulator(cleanup_seconds=0.0) as emulator:
        emulator.upload("gs://results/made", b"")
        yield emulator


def using(name: str) -> Any:
    """Return a fixture that gives the tests of a module or folder the emulator of that name.

    The fixture replaces the session's emulator of the pytest plugin.
    """

    @pytest.fixture(scope="session")
    def nbjobs_emulator_session(request: pytest.FixtureRequest) -> Any:
        return request.getfixturevalue(name)

    return nbjobs_emulator_session

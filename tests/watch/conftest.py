"""A fast emulator, and jobs of which a test says how they go."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from airflow_nbjobs.emulator import Emulator
from tests.support.crowd import Service


@pytest.fixture(scope="session")
def nbjobs_emulator_session() -> Iterator[Emulator]:
    """Run one emulator for the tests of this folder, in place of the plugin's own, which starts kernels."""
    with Emulator(runner="simulated", seconds=3600.0, cleanup_seconds=0.0) as emulator:
        yield emulator


@pytest.fixture
def service(nbjobs_emulator: Emulator) -> Iterator[Service]:
    """Give the emulator, and the project that the test has for itself."""
    service = Service(nbjobs_emulator, os.environ["GOOGLE_CLOUD_PROJECT"])
    yield service
    service.close()

"""A fast emulator whose jobs end as each test says."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from airflow_nbjobs.emulator import Emulator


@pytest.fixture(scope="session")
def nbjobs_emulator_session() -> Iterator[Emulator]:
    """Run one emulator for the tests of this folder, in place of the plugin's own, which starts kernels."""
    with Emulator(runner="simulated", seconds=600, cleanup_seconds=0.0) as emulator:
        yield emulator

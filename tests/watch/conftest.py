"""A fast emulator, and jobs of which a test says how they go."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from airflow_nbjobs.emulator import Emulator
from tests.support.crowd import Service
from tests.support.emulators import using

nbjobs_emulator_session = using("lasting")


@pytest.fixture
def service(nbjobs_emulator: Emulator) -> Iterator[Service]:
    """Give the emulator, and the project that the test has for itself."""
    service = Service(nbjobs_emulator, os.environ["GOOGLE_CLOUD_PROJECT"])
    yield service
    service.close()

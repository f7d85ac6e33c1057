"""An emulator that starts no kernels, for all tests of this folder that ask for no other."""

from __future__ import annotations

import pytest

from airflow_nbjobs.emulator import Emulator
from tests.api.conftest import a_job, emulator, open_talk, simulation, talk, where  # noqa: F401 - the fixtures of a client
from tests.support.asking import Asking
from tests.support.emulators import using

nbjobs_emulator_session = using("simulated")


@pytest.fixture
def asking(nbjobs_emulator: Emulator) -> Asking:
    """Return a task of the test's own."""
    return Asking(nbjobs_emulator)

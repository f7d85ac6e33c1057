"""An emulator whose jobs end when a test says so, and Airflow's own runner of triggers."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.emulators import using

nbjobs_emulator_session = using("lasting")


@pytest.fixture
def database(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Give what Airflow's database keeps for assets, by key; it answers in place of the triggerer's supervisor."""
    from tests.support.watchers import Supervisor

    supervisor = Supervisor()
    monkeypatch.setattr("airflow.sdk.execution_time.task_runner.SUPERVISOR_COMMS", supervisor, raising=False)
    return supervisor.stored

"""A real Airflow beside the emulator, one for all tests of this folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from airflow_nbjobs.emulator import Emulator
from demo.airflow_processes import LocalAirflow

# After a short deferral Airflow 3.3.2 may take the task's first process for one that died, and fail the try; a retry
# takes the job's result then.
RETRIES = {"AIRFLOW__CORE__DEFAULT_TASK_RETRIES": "2", "AIRFLOW__CORE__DEFAULT_TASK_RETRY_DELAY": "1"}

EXAMPLES = Path(__file__).resolve().parents[2] / "example_dags"


@pytest.fixture(scope="session")
def cloud() -> Iterator[Emulator]:
    """Start an emulator that holds the notebook of the first example."""
    with Emulator() as emulator:
        notebook = EXAMPLES / "notebooks" / "wine.ipynb"
        emulator.upload("gs://nbjobs-examples/notebooks/wine.ipynb", notebook.read_bytes())
        yield emulator


@pytest.fixture(scope="session")
def airflow(cloud: Emulator, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalAirflow]:
    """Start an Airflow that runs the example DAGs on the emulator."""
    environment = {**cloud.env, "NBJOBS_POLL_INTERVAL": "1", **RETRIES}
    with LocalAirflow(tmp_path_factory.mktemp("airflow"), EXAMPLES, environment) as running:
        yield running

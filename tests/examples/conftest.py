"""The emulator with the examples' notebooks in its Cloud Storage, and the environment that points at it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from airflow_nbjobs.emulator import Emulator

EXAMPLES = Path(__file__).resolve().parents[2] / "example_dags"


@pytest.fixture(scope="module")
def cloud() -> Iterator[Emulator]:
    """Start an emulator that holds what the examples read."""
    with Emulator() as emulator:
        for notebook in (EXAMPLES / "notebooks").glob("*.ipynb"):
            emulator.upload(f"gs://nbjobs-examples/notebooks/{notebook.name}", notebook.read_bytes())
        yield emulator


@pytest.fixture
def on_the_emulator(cloud: Emulator, monkeypatch: pytest.MonkeyPatch) -> Emulator:
    """Set what a DAG needs to run on the emulator, and look often so that tests are quick."""
    for name, value in {**cloud.env, "NBJOBS_POLL_INTERVAL": "0.5"}.items():
        monkeypatch.setenv(name, value)
    return cloud

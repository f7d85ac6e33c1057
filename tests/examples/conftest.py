"""What an example needs to run on the emulator."""

from __future__ import annotations

from pathlib import Path

import pytest

from airflow_nbjobs.emulator import Emulator

EXAMPLES = Path(__file__).resolve().parents[2] / "example_dags"


@pytest.fixture
def cloud(nbjobs_emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> Emulator:
    """Put the notebooks into the emulator's Cloud Storage, and look often so that tests are quick."""
    for notebook in (EXAMPLES / "notebooks").glob("*.ipynb"):
        nbjobs_emulator.upload(f"gs://nbjobs-examples/notebooks/{notebook.name}", notebook.read_bytes())
    monkeypatch.setenv("NBJOBS_POLL_INTERVAL", "0.5")
    return nbjobs_emulator

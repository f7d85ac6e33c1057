"""Airflow for the tests: a home of its own for each process of the run, made before anything imports Airflow."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
_HOME = tempfile.TemporaryDirectory(prefix="nbjobs-airflow-")

for name in [name for name in os.environ if name.startswith(("AIRFLOW", "NBJOBS_", "STORAGE_EMULATOR", "GOOGLE_"))]:
    del os.environ[name]
os.environ |= {
    "AIRFLOW_HOME": _HOME.name,
    "AIRFLOW__CORE__DAGS_FOLDER": str(ROOT / "example_dags"),
    "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
    "AIRFLOW__CORE__PLUGINS_FOLDER": f"{_HOME.name}/plugins",
    "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{_HOME.name}/airflow.db",
}


def pytest_unconfigure() -> None:
    """Remove Airflow's home."""
    _HOME.cleanup()


@pytest.fixture(scope="session")
def airflow_database() -> None:
    """Make Airflow's database, for what runs whole DAGs; operators and triggers need none."""
    subprocess.run([sys.executable, "-m", "airflow", "db", "migrate"], check=True, capture_output=True)

"""Airflow for the tests: a home of its own for each process of the run, made before anything imports Airflow."""

from __future__ import annotations

import atexit
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

pytest_plugins = ["tests.canaries"]

ROOT = Path(__file__).resolve().parent.parent
_HOME = tempfile.mkdtemp(prefix="nbjobs-airflow-")
atexit.register(shutil.rmtree, _HOME, ignore_errors=True)

# What a developer's shell says of another Airflow or another emulator is not the tests' business; which real project
# they may use is.
for name in list(os.environ):
    of_ours = name.startswith("NBJOBS_") and not name.startswith("NBJOBS_LIVE_")
    if of_ours or name.startswith("AIRFLOW") or name in {"STORAGE_EMULATOR_HOST", "GOOGLE_CLOUD_PROJECT"}:
        del os.environ[name]
os.environ |= {
    "AIRFLOW_HOME": _HOME,
    "AIRFLOW__CORE__DAGS_FOLDER": str(ROOT / "example_dags"),
    "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
    "AIRFLOW__CORE__PLUGINS_FOLDER": f"{_HOME}/plugins",
    "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{_HOME}/airflow.db",
}


@pytest.fixture(scope="session")
def airflow_database() -> None:
    """Make Airflow's database, for what runs whole DAGs; operators and triggers need none."""
    subprocess.run([sys.executable, "-m", "airflow", "db", "migrate"], check=True, capture_output=True)

"""Make something once for all processes of a test run: the workers of pytest-xdist share one folder."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import pytest
from filelock import FileLock

T = TypeVar("T")


def once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], T]) -> T:
    """Return what *make* returns, which is called in the first process that asks, with an empty folder.

    The other processes wait for it and get a copy.
    """
    base = factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / f"shared-{name}"
    with FileLock(f"{folder}.lock"):
        kept = folder / "value.pickle"
        if not kept.exists():
            folder.mkdir()
            kept.write_bytes(pickle.dumps(make(folder)))
        value: T = pickle.loads(kept.read_bytes())  # noqa: S301 - written above
        return value


def migrated_database(factory: pytest.TempPathFactory) -> Path:
    """Return a SQLite file with Airflow's tables and nothing in them, to be copied."""

    def migrate(folder: Path) -> Path:
        database = folder / "airflow.db"
        env = {"AIRFLOW_HOME": str(folder), "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{database}"}
        call = [sys.executable, "-m", "airflow", "db", "migrate"]
        subprocess.run(call, env=os.environ | env, check=True, capture_output=True)
        return database

    return once(factory, "database", migrate)

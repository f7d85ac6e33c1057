"""A fast emulator for the operators: jobs run in name only, for a third of a second."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator

import airflow
import pytest
from structlog.testing import capture_logs

from airflow_nbjobs.emulator import Emulator
from tests import canaries

if airflow.__version__.startswith("3.1."):
    # Airflow 3.1 warns of itself once in a process: of an import under a deprecated name, and of its tables under
    # SQLAlchemy 2.1. Where warnings are errors it takes the second for a connection that is not there.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import airflow.models.connection
        import airflow.providers.standard.operators.python
        import sqlalchemy.orm

        sqlalchemy.orm.configure_mappers()


@pytest.fixture(scope="session")
def nbjobs_emulator_session() -> Iterator[Emulator]:
    """Run one emulator for the tests of this folder, in place of the plugin's own, which starts kernels."""
    with Emulator(runner="simulated", seconds=0.3, cleanup_seconds=0.0) as emulator:
        yield emulator


@pytest.fixture
def project(nbjobs_emulator: Emulator) -> str:
    """Return the project that the test has for itself."""
    return os.environ["GOOGLE_CLOUD_PROJECT"]


@pytest.fixture
def logged() -> Iterator[Callable[[], list[str]]]:
    """Return what tells the lines that tasks and triggers have logged."""
    with capture_logs() as entries:
        yield lambda: [str(entry["event"]) for entry in entries]
    canaries.tell("the task's log", entries)

"""A real Airflow beside the emulator, one for all tests of this folder."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from itertools import chain
from pathlib import Path
from typing import Any

import pytest

from airflow_nbjobs.emulator import Emulator
from demo.airflow_processes import LocalAirflow
from tests.support.canaries import plant
from tests.support.google_lookalike import new_key
from tests.support.shared import migrated_database

# After a short deferral Airflow 3.3.2 may take the task's first process for one that died, and fail the try; a retry
# takes the job's result then. On a busy machine it does so to one task more than once.
RETRIES = {"AIRFLOW__CORE__DEFAULT_TASK_RETRIES": "5", "AIRFLOW__CORE__DEFAULT_TASK_RETRY_DELAY": "1"}

LAST_LINES, LONGEST_LINE = 40, 400

JOB = """
from datetime import timedelta
from airflow.sdk import DAG
from airflow_nbjobs.operators import CreateNotebookExecutionJobOperator

JOB = {
    "task_id": "report",
    "location": "us-central1",
    "notebook": "gs://notebooks/report.ipynb",
    "runtime_template": "1234",
    "gcs_output_uri": "gs://results",
    "service_account": "runner@p.iam.gserviceaccount.com",
    "poll_interval": 1,
    "do_xcom_push": False,
}
"""
"""The beginning of a DAG file: arguments of a create task that lack nothing."""

PROJECT = "from-the-database"
EXAMPLES = Path(__file__).resolve().parents[2] / "example_dags"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show what Airflow itself says about a failure: its processes' logs end with the test."""
    report = yield
    if report.failed and hasattr(report.longrepr, "addsection"):
        for airflow in getattr(item, "funcargs", {}).values():
            if isinstance(airflow, LocalAirflow):
                report.longrepr.addsection("What Airflow logged as errors", "\n".join(errors(airflow.home)))
    return report


def errors(home: Path) -> list[str]:
    """Return the last errors and warnings of each process of an Airflow and of each try of a task."""
    found: list[str] = []
    for log in sorted(chain(home.glob("*.log"), home.glob("logs/**/attempt=*.log"))):
        lines = log.read_text(errors="replace").splitlines()
        some = [line[:LONGEST_LINE] for line in lines if is_error(line)][-LAST_LINES:]
        found += [f"{log.relative_to(home)}:", *some] if some else []
    return found


def is_error(line: str) -> bool:
    """Tell whether a process's line, or a task's, which is JSON, says that something went wrong."""
    try:
        return json.loads(line)["level"] in {"warning", "error", "critical"}
    except (ValueError, TypeError, KeyError):
        return any(level in line for level in ("[warning", "[error", "[critical", "Error:"))


@pytest.fixture(scope="session", autouse=True)
def _quiet() -> None:
    """Leave out a line for each request to Airflow, under which a failure's own lines would be hard to find."""
    logging.getLogger("httpx").setLevel(logging.WARNING)


@pytest.fixture(scope="session")
def cloud() -> Iterator[Emulator]:
    """Start an emulator that holds the notebook of the first example."""
    with Emulator() as emulator:
        notebook = EXAMPLES / "notebooks" / "wine.ipynb"
        emulator.upload("gs://nbjobs-examples/notebooks/wine.ipynb", notebook.read_bytes())
        yield emulator


@pytest.fixture(scope="session")
def start_airflow(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., AbstractContextManager[LocalAirflow]]:
    """Return what starts an Airflow, as a context manager.

    Its arguments are the text of a DAG file, which follows :data:`JOB`, or a folder; the environment; the ids of DAGs
    that have to be parsed first; and the project of the connection, which is then in Airflow's database.
    """
    migrated = migrated_database(tmp_path_factory)

    @contextmanager
    def start(
        dags: str | Path, environment: Mapping[str, str], *dag_ids: str, project: str | None = None
    ) -> Iterator[LocalAirflow]:
        if isinstance(dags, str):
            text, dags = dags, tmp_path_factory.mktemp("dags")
            (dags / "dags.py").write_text(JOB + text)
        with LocalAirflow(tmp_path_factory.mktemp("airflow"), dags, environment, migrated=migrated) as running:
            if project is not None:
                add_connection(running, project=project)
            running.wait(lambda: all(map(running.rest.knows, dag_ids)), 60, "the DAGs to be parsed")
            yield running

    return start


def add_connection(airflow: LocalAirflow, **extra: str) -> None:
    """Add the Google Cloud connection to the database, as in production."""
    airflow.rest.add_connection("google_cloud_default", "google_cloud_platform", extra=json.dumps(extra))


def _key() -> dict[str, str]:
    return {
        "type": "service_account",
        "project_id": PROJECT,
        "private_key_id": "1",
        "private_key": plant(new_key()),
        "client_email": f"robot@{PROJECT}.iam.gserviceaccount.com",
        "client_id": "1",
        "token_uri": "https://127.0.0.1:1/token",  # no endpoint here is trusted with a token: nobody asks for one
    }


@pytest.fixture(scope="session")
def airflow(cloud: Emulator, start_airflow: Any) -> Iterator[LocalAirflow]:
    """Start an Airflow that runs the example DAGs.

    The emulator is an endpoint like any other, and the connection is in Airflow's database, where worker and triggerer
    look it up. Its key is real: their logs and the database are searched for it.
    """
    endpoint = {"AIRFLOW__NBJOBS__ENDPOINT": cloud.url, "STORAGE_EMULATOR_HOST": cloud.storage_url}
    with start_airflow(EXAMPLES, {**endpoint, "NBJOBS_POLL_INTERVAL": "1", **RETRIES}) as running:
        add_connection(running, project=PROJECT, keyfile_dict=json.dumps(_key()))
        yield running

"""The connection is looked up by worker and triggerer, with no variable of the emulator's to stand in for it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from airflow_nbjobs.emulator import Emulator
from demo.airflow_processes import LocalAirflow
from tests.support.canaries import plant

EXAMPLES = Path(__file__).resolve().parents[2] / "example_dags"
DAG, TASK = "hello_notebook", "wine_report"


def _key() -> dict[str, str]:
    private = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    encoded = private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return {
        "type": "service_account",
        "project_id": "from-the-database",
        "private_key_id": "1",
        "private_key": plant(encoded.decode()),
        "client_email": "robot@from-the-database.iam.gserviceaccount.com",
        "client_id": "1",
        "token_uri": "https://127.0.0.1:1/token",  # no endpoint here is trusted with a token: nobody asks for one
    }


@pytest.fixture
def airflow(cloud: Emulator, tmp_path: Path) -> Iterator[LocalAirflow]:
    """Start an Airflow for which the emulator is an endpoint like any other, and which has the connection."""
    environment = {
        "AIRFLOW__NBJOBS__ENDPOINT": cloud.url,
        "STORAGE_EMULATOR_HOST": cloud.storage_url,
        "NBJOBS_POLL_INTERVAL": "1",
        "AIRFLOW__CORE__DEFAULT_TASK_RETRIES": "5",  # conftest.py says why
        "AIRFLOW__CORE__DEFAULT_TASK_RETRY_DELAY": "1",
    }
    with LocalAirflow(tmp_path, EXAMPLES, environment) as running:
        # A real key: it is stored, and read by worker and triggerer, whose logs and database are looked through for it.
        extra = json.dumps({"keyfile_dict": json.dumps(_key()), "project": "from-the-database"})
        running.rest.add_connection("google_cloud_default", "google_cloud_platform", extra=extra)
        yield running


def test_a_deferred_task_finds_its_connection_in_the_database(airflow: LocalAirflow, cloud: Emulator) -> None:
    airflow.wait(lambda: airflow.rest.knows(DAG), 60, "the example to be parsed")
    run = airflow.rest.trigger(DAG)

    def state() -> str | None:
        task = airflow.rest.task(run, TASK)
        return str(task["state"]) if task["state"] in {"success", "failed"} else None

    assert airflow.wait(state, 120, "the task to end") == "success", airflow.rest.log(run, TASK)
    (job,) = cloud.book("from-the-database")
    assert job["state"] == "JOB_STATE_SUCCEEDED"

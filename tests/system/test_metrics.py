"""Metrics of a real Airflow: its workers and its triggerer send them, each process by itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from airflow_nbjobs.emulator import Emulator
from demo.airflow_processes import LocalAirflow
from tests.support.crowd import Service
from tests.support.statsd import Statsd, listening

DAG = """
from airflow.sdk import DAG
from airflow_nbjobs.operators import CreateNotebookExecutionJobOperator

with DAG("measured", schedule=None):
    CreateNotebookExecutionJobOperator(
        task_id="report",
        location="us-central1",
        notebook="gs://notebooks/report.ipynb",
        runtime_template="1234",
        gcs_output_uri="gs://results",
        service_account="runner@p.iam.gserviceaccount.com",
        deferrable=True,
        poll_interval=1,
        do_xcom_push=False,
    )
"""
TAGS = {"dag_id": "measured", "task_id": "report"}


@pytest.fixture(scope="module")
def statsd() -> Iterator[Statsd]:
    """Run a StatsD server."""
    with listening() as server:
        yield server


@pytest.fixture(scope="module")
def cloud(lasting: Emulator) -> Emulator:
    """Return an emulator whose jobs run until something ends them."""
    return lasting


@pytest.fixture(scope="module")
def airflow(
    tmp_path_factory: pytest.TempPathFactory,
    start_airflow: Callable[..., LocalAirflow],
    cloud: Emulator,
    statsd: Statsd,
) -> Iterator[LocalAirflow]:
    """Start an Airflow that sends metrics."""
    dags = tmp_path_factory.mktemp("dags")
    (dags / "measured.py").write_text(DAG)
    with start_airflow(dags, {**cloud.env, **statsd.env}) as running:
        running.wait(lambda: running.rest.knows("measured"), 60, "the DAG to be parsed")
        yield running


def test_worker_and_triggerer_send_metrics(airflow: LocalAirflow, cloud: Emulator, statsd: Statsd) -> None:
    run = airflow.rest.trigger("measured")
    # The second time, the triggerer has seen the job.
    airflow.wait(lambda: statsd.values("watched").count(1.0) > 1, 120, "the triggerer's gauge")
    (job,) = cloud.book()
    others = Service(cloud, job["name"].split("/")[1])
    others.end([job])
    others.close()
    airflow.wait(lambda: airflow.rest.run_state(run) == "failed", 120, "the task to end")
    statsd.reaches({"submitted": 1, "cancelled": 1}, **TAGS)
    assert statsd.values("watched")[-1] == 0
    (running,) = statsd.values("job.running", **TAGS)  # its start was seen in the triggerer
    assert running > 0
    assert statsd.values("requests", service="aiplatform", verb="GET", status="200")

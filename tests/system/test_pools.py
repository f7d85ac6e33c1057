"""A pool that counts deferred tasks bounds how many jobs of a mapped task run at once, in a real Airflow."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from airflow_nbjobs.emulator import Emulator
from demo.airflow_processes import LocalAirflow
from tests.system.conftest import RETRIES

DAG = """
from airflow.sdk import DAG
from airflow_nbjobs.operators import CreateNotebookExecutionJobOperator

with DAG("wave", schedule=None):
    CreateNotebookExecutionJobOperator.partial(
        task_id="report",
        pool="notebooks",
        location="us-central1",
        notebook="gs://notebooks/report.ipynb",
        runtime_template="1234",
        gcs_output_uri="gs://results",
        service_account="runner@p.iam.gserviceaccount.com",
        deferrable=True,
        poll_interval=1,
        do_xcom_push=False,
    ).expand(labels=[{"part": str(number)} for number in range(5)])
"""


def test_a_pool_that_counts_deferred_tasks_bounds_the_jobs_at_once(tmp_path: Path) -> None:
    dags = tmp_path / "dags"
    dags.mkdir()
    (dags / "wave.py").write_text(DAG)
    with (
        Emulator(runner="simulated", seconds=8.0, cleanup_seconds=0.0) as emulator,
        LocalAirflow(tmp_path / "airflow", dags, {**emulator.env, **RETRIES}) as airflow,
    ):
        pool = {"name": "notebooks", "slots": 2, "include_deferred": True}
        airflow.rest.call("POST", "/pools", json=pool)
        airflow.wait(lambda: airflow.rest.knows("wave"), 60, "the DAG to be parsed")
        run = airflow.rest.trigger("wave")
        airflow.wait(lambda: airflow.rest.run_state(run) == "success", 180, "the wave to be over")
        book = emulator.book()
    assert len(book) == 5
    assert most_at_once([(job["history"][0]["time"], job["history"][-1]["time"]) for job in book]) == 2


def most_at_once(lives: list[tuple[str, str]]) -> int:
    """Count the lives, from their beginning to their end, that go on at the same time at most."""
    moments = [(datetime.fromisoformat(begin), datetime.fromisoformat(end)) for begin, end in lives]
    return max(sum(1 for begin, end in moments if begin <= moment < end) for moment, _ in moments)

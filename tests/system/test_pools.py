"""Airflow's own limits bound how many jobs of a mapped task run at once, though its tasks are deferred."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from airflow_nbjobs.emulator import Emulator
from demo.airflow_processes import LocalAirflow
from tests.system.conftest import RETRIES

DAGS = """
from airflow.sdk import DAG
from airflow_nbjobs.operators import CreateNotebookExecutionJobOperator

for dag_id, limit in {"pool": {"pool": "notebooks"}, "task": {"max_active_tis_per_dagrun": 2}}.items():
    with DAG(f"limited_by_{dag_id}", schedule=None):
        CreateNotebookExecutionJobOperator.partial(
            task_id="report",
            location="us-central1",
            notebook="gs://notebooks/report.ipynb",
            runtime_template="1234",
            gcs_output_uri="gs://results",
            service_account="runner@p.iam.gserviceaccount.com",
            deferrable=True,
            poll_interval=1,
            do_xcom_push=False,
            **limit,
        ).expand(labels=[{"part": str(number)} for number in range(4)])
"""
LIMITED = ["limited_by_pool", "limited_by_task"]


def test_a_pool_that_counts_deferred_tasks_and_a_tasks_own_limit_bound_the_jobs_at_once(tmp_path: Path) -> None:
    dags = tmp_path / "dags"
    dags.mkdir()
    (dags / "waves.py").write_text(DAGS)
    with (
        Emulator(runner="simulated", seconds=6.0, cleanup_seconds=0.0) as emulator,
        LocalAirflow(tmp_path / "airflow", dags, {**emulator.env, **RETRIES}) as airflow,
    ):
        airflow.rest.call("POST", "/pools", json={"name": "notebooks", "slots": 2, "include_deferred": True})
        airflow.wait(lambda: all(map(airflow.rest.knows, LIMITED)), 60, "the DAGs to be parsed")
        runs = [airflow.rest.trigger(dag_id) for dag_id in LIMITED]
        airflow.wait(lambda: {airflow.rest.run_state(run) for run in runs} == {"success"}, 180, "the waves to be over")
        book = emulator.book()
    for dag_id in LIMITED:
        jobs = [job["history"] for job in book if job["displayName"].startswith(dag_id)]
        assert len(jobs) == 4
        assert most_at_once([(history[0]["time"], history[-1]["time"]) for history in jobs]) == 2


def most_at_once(lives: list[tuple[str, str]]) -> int:
    """Count the lives, from their beginning to their end, that go on at the same time at most."""
    moments = [(datetime.fromisoformat(begin), datetime.fromisoformat(end)) for begin, end in lives]
    return max(sum(1 for begin, end in moments if begin <= moment < end) for moment, _ in moments)

"""Mapped tasks in a real Airflow: how many of their jobs run at once, and whose links and logs are whose."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import httpx
import pytest

from airflow_nbjobs.emulator import Emulator
from demo.airflow_processes import LocalAirflow
from tests.support.canaries import MARK
from tests.support.papers import as_bytes, cell, notebook
from tests.system.conftest import JOB

DAGS = """
# After a short deferral Airflow 3.3.2 may take a try for dead that has handed over; a retry takes the job's result.
RETRIED = {"retries": 2, "retry_delay": timedelta(seconds=1)}
KINDS = {
    "limited_by_pool": {"pool": "notebooks", **RETRIED},
    "limited_by_task": {"max_active_tis_per_dagrun": 2, **RETRIED},
    "failing": {"project_id": "failing"},
}
JOB |= {"notebook": "report.ipynb", "parameters": {"api_token": "{{ var.value.planted }}"}, "deferrable": True}
for dag_id, arguments in KINDS.items():
    with DAG(dag_id, schedule=None):
        labels = [{"part": str(number)} for number in range(4)]
        CreateNotebookExecutionJobOperator.partial(**JOB, **arguments).expand(labels=labels)
"""
PARAMETER = f"{MARK}-parameter"
LIMITED = ["limited_by_pool", "limited_by_task"]
LINKS = {"Notebook executions", "Executed notebook"}


@pytest.fixture(scope="module")
def cloud() -> Iterator[Emulator]:
    """Start an emulator whose jobs take six seconds; those of one project fail."""
    with Emulator(runner="simulated", seconds=6.0, cleanup_seconds=0.0) as emulator:
        states = ["JOB_STATE_RUNNING", "JOB_STATE_FAILED"]
        emulator.fault({"job_state": states, "seconds": 4, "project": "failing", "times": 4})
        yield emulator


@pytest.fixture(scope="module")
def airflow(cloud: Emulator, tmp_path_factory: pytest.TempPathFactory, start_airflow: Any) -> Iterator[LocalAirflow]:
    """Start an Airflow with these DAGs.

    Their notebook and its parameter are canaries: neither may show in its logs and its database, nor in a job but as
    its content. The parameter comes from a variable of the environment, which is kept in neither.
    """
    dags = tmp_path_factory.mktemp("dags")
    (dags / "waves.py").write_text(JOB + DAGS)
    (dags / "report.ipynb").write_bytes(as_bytes(notebook(cell(f"api_token = None  # {MARK}", "parameters"))))
    environment = {**cloud.env, "AIRFLOW_VAR_PLANTED": PARAMETER}
    with start_airflow(dags, environment, *LIMITED, "failing") as running:
        running.rest.call("POST", "/pools", json={"name": "notebooks", "slots": 2, "include_deferred": True})
        yield running


def test_pools_and_task_limits_bound_concurrent_jobs(airflow: LocalAirflow, cloud: Emulator) -> None:
    runs = [airflow.rest.trigger(dag_id) for dag_id in LIMITED]
    airflow.wait(lambda: {airflow.rest.run_state(run) for run in runs} == {"success"}, 180, "the waves to be over")
    book = cloud.book()
    for dag_id in LIMITED:
        jobs = [job["history"] for job in book if job["displayName"].startswith(dag_id)]
        assert len(jobs) == 4
        assert most_at_once([(history[0]["time"], history[-1]["time"]) for history in jobs]) == 2


def test_each_failed_mapped_task_links_to_its_own_job(airflow: LocalAirflow, cloud: Emulator) -> None:
    run = airflow.rest.trigger("failing")
    airflow.wait(lambda: airflow.rest.run_state(run) == "failed", 120, "the tasks to fail")
    jobs = [job["id"] for job in cloud.book("failing")]
    seen = []
    for index in range(4):
        (own,) = [
            job for job in jobs if job in airflow.rest.xcom(run, "report", "notebook_execution_job", index)["name"]
        ]
        found = {name: url for name, url in airflow.rest.links(run, "report", index).items() if url}
        assert set(found) == LINKS
        assert own in found["Executed notebook"]
        log = airflow.rest.log(run, "report", map_index=index)
        assert re.search(rf"notebookExecutionJobs/{own} is (RUNNING|FAILED)\.", log)  # the triggerer's line
        assert [job for job in jobs if job in log] == [own]
        assert all(canary in content(cloud, own) for canary in (f"# {MARK}", PARAMETER))  # or no leak could show
        seen.append(own)
    assert sorted(seen) == sorted(jobs)


def content(cloud: Emulator, job: str) -> str:
    """Return the notebook that was sent with a job."""
    (name,) = [each["name"] for each in cloud.book("failing") if each["id"] == job]
    view = {"view": "NOTEBOOK_EXECUTION_JOB_VIEW_FULL"}
    answer = httpx.get(f"{cloud.url}/v1/{name}", params=view, trust_env=False).json()
    return base64.b64decode(answer["directNotebookSource"]["content"]).decode()


def most_at_once(lives: list[tuple[str, str]]) -> int:
    """Count the lives, from their beginning to their end, that go on at the same time at most."""
    moments = [(datetime.fromisoformat(begin), datetime.fromisoformat(end)) for begin, end in lives]
    return max(sum(1 for begin, end in moments if begin <= moment < end) for moment, _ in moments)

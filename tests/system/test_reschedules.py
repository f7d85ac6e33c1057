"""Retry policies of Airflow 3.4 that run a task again without using a retry, in a real Airflow."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from airflow_nbjobs.emulator import Emulator
from demo.airflow_processes import LocalAirflow
from demo.airflow_rest import Run

pytest.importorskip("airflow.sdk.execution_time.loop", reason="retry policies can reschedule from Airflow 3.4 on")

DAGS = """
from airflow.sdk import RetryDecision, RetryPolicy
from airflow_nbjobs.retry_policy import NotebookRetryPolicy


class Once(RetryPolicy):
    def evaluate(self, exception, try_number, max_tries, context=None):
        return RetryDecision.reschedule(timedelta(seconds=1), max_reschedules=1)


policies = {"without_a_machine": NotebookRetryPolicy(capacity_delay=timedelta(seconds=1)), "out_of_sight": Once()}
for dag_id, policy in policies.items():
    for deferrable in (False, True):
        with DAG(f"{dag_id}_{'deferred' if deferrable else 'running'}", schedule=None):
            CreateNotebookExecutionJobOperator(deferrable=deferrable, retries=0, retry_policy=policy, **JOB)
"""
MODES = pytest.mark.parametrize("mode", ["running", "deferred"])


@pytest.fixture(scope="module")
def patient(lasting: Emulator, start_airflow: Any) -> Iterator[LocalAirflow]:
    """Start an Airflow with the DAGs."""
    with start_airflow(DAGS, lasting.env, "out_of_sight_deferred", project="policies") as running:
        yield running


def next_job(airflow: LocalAirflow, cloud: Emulator, run: Run, seen: int) -> str:
    """Wait for the job after so many, and until the task waits for it; return its id."""
    waits = run.dag_id.rpartition("_")[2]

    def look() -> dict[str, Any] | None:
        jobs = cloud.book()[seen:]
        return jobs[0] if jobs and airflow.rest.task(run, "report")["state"] == waits else None

    job = airflow.wait(look, 120, "a job that the task waits for")
    assert job is not None
    return str(job["id"])


def assert_succeeded_in_its_first_try(airflow: LocalAirflow, run: Run) -> None:
    """Wait for the end of the run, and check that no retry was used."""
    airflow.wait(lambda: airflow.rest.run_state(run) not in {"queued", "running"}, 120, "the run to end")
    task = airflow.rest.task(run, "report")
    assert (task["state"], task["try_number"]) == ("success", 1)


@MODES
def test_a_job_without_a_machine_is_followed_by_another(patient: LocalAirflow, lasting: Emulator, mode: str) -> None:
    seen = len(lasting.book())
    run = patient.rest.trigger(f"without_a_machine_{mode}")
    for number in range(2):
        job = next_job(patient, lasting, run, seen + number)
        lasting.play(job, "JOB_STATE_FAILED", "Quota 'CPUS' exceeded.  Limit: 8.0 in region us-central1.")
    lasting.play(next_job(patient, lasting, run, seen + 2), "JOB_STATE_SUCCEEDED")
    assert_succeeded_in_its_first_try(patient, run)
    assert len(lasting.book()) == seen + 3


@MODES
def test_a_rescheduled_task_takes_over_its_job(patient: LocalAirflow, lasting: Emulator, mode: str) -> None:
    """The task cannot see its job once: without a retry the job would have been ended before Airflow 3.4."""
    seen = len(lasting.book())
    run = patient.rest.trigger(f"out_of_sight_{mode}")
    job = next_job(patient, lasting, run, seen)
    # The triggerer is refused its look too.
    lasting.fault({"method": "get", "status": 403, "times": 2 if mode == "deferred" else 1})
    patient.wait(lambda: all(each["met"] == each["asked"] for each in lasting.faults()), 120, "the task to be refused")
    lasting.clear_faults()
    next_job(patient, lasting, run, seen)
    lasting.play(job, "JOB_STATE_SUCCEEDED")
    assert_succeeded_in_its_first_try(patient, run)
    assert len(lasting.book()) == seen + 1

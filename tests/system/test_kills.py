"""What becomes of the remote job when a person ends its task in a real Airflow: the emulator's book tells."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from importlib.util import find_spec
from typing import Any

import psutil
import pytest
from airflow.triggers.base import BaseTrigger

from airflow_nbjobs.emulator import Emulator
from demo.airflow_processes import LocalAirflow
from demo.airflow_rest import Run

DAGS = """
for dag_id, deferrable, retries in [("deferred", True, 0), ("here", False, 0), ("retried", False, 1)]:
    with DAG(dag_id, schedule=None):
        CreateNotebookExecutionJobOperator(deferrable=deferrable, retries=retries, **JOB)
"""


@pytest.fixture(scope="module")
def busy(lasting: Emulator, start_airflow: Any) -> Iterator[LocalAirflow]:
    """Start an Airflow that waits for jobs until the test ends them."""
    with start_airflow(DAGS, lasting.env, "retried", project="kills") as running:
        yield running


def start(busy: LocalAirflow, lasting: Emulator, dag_id: str) -> tuple[Run, dict[str, Any]]:
    """Start a run, wait until its task waits for its job, and return both."""
    before = len(lasting.book())
    run = busy.rest.trigger(dag_id)
    wanted = "deferred" if dag_id == "deferred" else "running"

    def look() -> dict[str, Any] | None:
        jobs = lasting.book()[before:]
        waits = busy.rest.task(run, "report")["state"] == wanted
        return jobs[0] if waits and jobs and jobs[0]["state"] == "JOB_STATE_RUNNING" else None

    job = busy.wait(look, 120, f"the task to be {wanted} while its job runs")
    assert job is not None
    if dag_id == "deferred":
        wait_until_watched(busy, lasting, run)
    return run, job


def wait_until_watched(busy: LocalAirflow, lasting: Emulator, run: Run, unlike: int | None = None) -> None:
    """Wait until a triggerer has taken the trigger up: Airflow tells nobody of a task that is ended before.

    :param unlike: the id of one that is gone.
    """

    def is_taken_up() -> bool:
        task = busy.rest.task(run, "report")
        triggerer = task["triggerer_job"]
        return task["state"] == "deferred" and triggerer is not None and triggerer["id"] != unlike

    busy.wait(is_taken_up, 120, "a triggerer to take the trigger up")
    lasting.reset_requests()
    busy.wait(lambda: lasting.requests().keys() & {"get", "list"}, 60, "the triggerer to look at the job")


def mark(busy: LocalAirflow, run: Run, state: str) -> None:
    """Do what a person does in the UI."""
    busy.rest.call("PATCH", f"{run.path}/taskInstances/report", json={"new_state": state})


def state_of(lasting: Emulator, job: dict[str, Any]) -> str:
    """Return the state of a job by the emulator's own book."""
    return next(str(each["state"]) for each in lasting.book() if each["id"] == job["id"])


def wait_for(busy: LocalAirflow, lasting: Emulator, job: dict[str, Any], state: str, seconds: float = 60) -> None:
    """Wait until a job is in a state."""
    busy.wait(lambda: state_of(lasting, job) == f"JOB_STATE_{state}", seconds, f"the job to be {state}")


@pytest.mark.parametrize("state", ["failed", "success"])
@pytest.mark.parametrize("dag_id", ["deferred", "here"])
def test_a_task_that_a_person_ends_ends_its_job(busy: LocalAirflow, lasting: Emulator, dag_id: str, state: str) -> None:
    run, job = start(busy, lasting, dag_id)
    mark(busy, run, state)
    wait_for(busy, lasting, job, "CANCELLED")
    said = "The task no longer waits" if dag_id == "deferred" else "The task is killed"
    line = f"{said}: {job['name']} was canceled."
    busy.wait(lambda: line in busy.rest.log(run, "report"), 20, f"the task's log to say {line!r}")


def test_a_request_in_flight_does_not_delay_a_kill(busy: LocalAirflow, lasting: Emulator) -> None:
    run, job = start(busy, lasting, "here")
    lasting.fault({"method": "get", "delay_seconds": 45})
    busy.wait(lambda: lasting.faults()[-1]["met"] == 1, 20, "a look at the job to stall")
    mark(busy, run, "failed")
    wait_for(busy, lasting, job, "CANCELLED", 30)
    lasting.clear_faults()


def test_a_cleared_task_ends_only_its_old_job(busy: LocalAirflow, lasting: Emulator) -> None:
    run, job = start(busy, lasting, "deferred")
    # Another one waits too: SQLite gives a new trigger the id of the last one when that is gone, and Airflow 3.3.2 may
    # then take the new one for the old one, and never start it.
    other_run, other = start(busy, lasting, "deferred")
    before = len(lasting.book())
    body = {"dry_run": False, "dag_run_id": run.run_id, "task_ids": ["report"], "only_failed": False}
    busy.rest.call("POST", f"/dags/{run.dag_id}/clearTaskInstances", json=body)
    wait_for(busy, lasting, job, "CANCELLED", 60)
    busy.wait(lambda: len(lasting.book()) > before, 60, "the new job")
    new = lasting.book()[before]
    wait_for(busy, lasting, new, "RUNNING")
    wait_until_watched(busy, lasting, run)
    assert state_of(lasting, new) == "JOB_STATE_RUNNING"
    mark(busy, run, "failed")
    wait_for(busy, lasting, new, "CANCELLED")
    assert len(lasting.book()) == before + 1
    assert state_of(lasting, other) == "JOB_STATE_RUNNING"
    mark(busy, other_run, "failed")
    wait_for(busy, lasting, other, "CANCELLED")


def test_a_cleared_task_that_waits_in_a_queue_ends_its_old_job(busy: LocalAirflow, lasting: Emulator) -> None:
    run, job = start(busy, lasting, "deferred")
    before = len(lasting.book())
    # Not over REST: there an older Airflow refuses a pool without slots.
    busy.command("pools", "set", "default_pool", "0", "")
    try:
        body = {"dry_run": False, "dag_run_id": run.run_id, "task_ids": ["report"], "only_failed": False}
        busy.rest.call("POST", f"/dags/{run.dag_id}/clearTaskInstances", json=body)
        wait_for(busy, lasting, job, "CANCELLED", 60)
        assert busy.rest.task(run, "report")["state"] == "scheduled"
    finally:
        busy.command("pools", "set", "default_pool", "128", "")
    busy.wait(lambda: len(lasting.book()) > before, 60, "the new job")
    wait_until_watched(busy, lasting, run)
    mark(busy, run, "failed")
    wait_for(busy, lasting, lasting.book()[before], "CANCELLED")


def test_a_triggerer_that_is_restarted_ends_no_job(busy: LocalAirflow, lasting: Emulator) -> None:
    run, job = start(busy, lasting, "deferred")
    ended = busy.rest.task(run, "report")["triggerer_job"]["id"]
    os.kill(busy.pid("triggerer"), signal.SIGTERM)
    busy.kill("triggerer")
    busy.start_component("triggerer")
    wait_until_watched(busy, lasting, run, unlike=ended)
    assert state_of(lasting, job) == "JOB_STATE_RUNNING"
    mark(busy, run, "failed")
    wait_for(busy, lasting, job, "CANCELLED")


@pytest.mark.skipif(not hasattr(BaseTrigger, "on_kill"), reason="a worker's end reaches its tasks from Airflow 3.3 on")
def test_a_shutdown_of_the_worker_leaves_the_job_running(busy: LocalAirflow, lasting: Emulator) -> None:
    run, job = start(busy, lasting, "retried")
    lasting.reset_requests()
    busy.wait(lambda: lasting.requests().get("get"), 30, "the task to have told Airflow of its job, and to wait for it")
    scheduler = psutil.Process(busy.pid("scheduler"))
    # Workers are the scheduler's children here, and a task is a child of its worker. A worker of Airflow 3.3 passes the
    # signal on. That of 3.4 waits for its task, which gets the signal if all processes of a service get it.
    (worker,) = {each.ppid() for each in scheduler.children(recursive=True)} - {scheduler.pid}
    tasks = psutil.Process(worker).children()
    os.kill(worker, signal.SIGTERM)
    for task in tasks if find_spec("airflow.sdk.execution_time.loop") else []:
        os.kill(task.pid, signal.SIGTERM)
    busy.wait(
        lambda: "keeps running. This process waits for it" in busy.rest.log(run, "report"), 30, "the task to say so"
    )
    assert state_of(lasting, job) == "JOB_STATE_RUNNING"
    mark(busy, run, "failed")
    wait_for(busy, lasting, job, "CANCELLED")

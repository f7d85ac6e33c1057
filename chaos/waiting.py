"""The ways in which tasks wait for a job, without processes of Airflow; for `make soak`."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

from airflow_nbjobs.api.job import NotebookExecutionJob
from airflow_nbjobs.api.pacing import ENDURING
from airflow_nbjobs.api.waiting import first_look, wait_for_job
from airflow_nbjobs.hooks import NotebookExecutionJobHook
from airflow_nbjobs.run.submit import Submitted
from airflow_nbjobs.sensors import NotebookExecutionJobSensor
from airflow_nbjobs.triggers import NotebookExecutionJobTrigger

REGION = "us-central1"
POLL_SECONDS = 5.0
SUCCEEDED = "JOB_STATE_SUCCEEDED"


async def as_trigger(submitted: Submitted) -> list[Any]:
    """Wait as a trigger; return the state in each of its events."""
    trigger = NotebookExecutionJobTrigger(
        submitted.job.name or "",
        submitted.operation_name,
        created_at=datetime.now(UTC).isoformat(),
        poll_interval=POLL_SECONDS,
    )
    return [event.payload["state"] async for event in trigger.run()]


def in_worker(job: NotebookExecutionJob) -> list[Any]:
    """Wait as an operator that does not defer; return the state."""
    hook = NotebookExecutionJobHook()
    try:
        return [hook.run_flow(REGION, wait_for_job(job, POLL_SECONDS), ENDURING).job_state.value]
    finally:
        hook.close()


def as_sensor(job: NotebookExecutionJob) -> list[Any]:
    """Wait as a sensor that pokes; return the final state."""
    sensor = NotebookExecutionJobSensor(task_id="wait", job_name=job.name or "", location=REGION, do_xcom_push=False)
    place = {"dag_id": "soak", "run_id": "soak", "task_id": "wait", "map_index": -1}
    context: Any = {"ti": SimpleNamespace(xcom_push=lambda **_: None, **place), "task": sensor}
    try:
        while not (poked := sensor.poke(context)).is_done:
            time.sleep(POLL_SECONDS)
    finally:
        sensor.hook.close()
    result: Any = poked.xcom_value
    return [result["state"]]


def look(name: str) -> str:
    """Return the state of a job."""
    hook = NotebookExecutionJobHook()
    try:
        return hook.run_flow(REGION, first_look(name), ENDURING).job_state.value
    finally:
        hook.close()


ONE_IN = 20
"""One of so many tasks waits in its worker, and one is a poking sensor: each holds a thread all the time."""

WAYS: dict[int, tuple[str, Callable[[NotebookExecutionJob], list[Any]]]] = {
    0: ("in a worker", in_worker),
    ONE_IN // 2: ("as a sensor", as_sensor),
}
"""How these tasks wait, by their number; all others wait in the triggerer."""

"""A resumed task trusts no event: it reads the job, or refuses."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import TaskDeferred
from task_runs import JOB, TaskRun

from airflow_nbjobs.emulator import Emulator
from airflow_nbjobs.exceptions import NbjobsError, NotebookJobError
from airflow_nbjobs.operators import CreateNotebookExecutionJobOperator
from airflow_nbjobs.sensors import NotebookExecutionJobSensor

NAME = "projects/p/locations/us-central1/notebookExecutionJobs/1"


@pytest.fixture
def deferred(nbjobs_emulator: Emulator, project: str) -> TaskRun:
    """Defer a task whose job goes on."""
    nbjobs_emulator.fault({"job_state": "JOB_STATE_RUNNING"})
    run = TaskRun(
        lambda: CreateNotebookExecutionJobOperator(task_id="report", deferrable=True, retries=1, **JOB), max_tries=1
    )
    with pytest.raises(TaskDeferred):
        run.execute()
    nbjobs_emulator.reset_requests()
    return run


def resume(run: TaskRun, event: Any) -> Any:
    """Resume the task with an event."""
    return run.resume("execute_complete", {"event": event})


@pytest.mark.parametrize(
    "event",
    [
        None,
        "done",
        [],
        {},
        {"v": 2, "job_name": NAME, "outcome": "done"},
        {"v": 1},
        {"v": 1, "job_name": None},
        {"v": 1, "job_name": f"{NAME}/../2"},
        {"v": 1, "job_name": f"{NAME}?view=FULL"},
        {"v": 1, "job_name": NAME.replace("us-central1", "evil.example.com/")},
        {"v": 1, "job_name": NAME.replace("us-central1", "europe-west1")},
        {"v": 1, "job_name": f"{NAME}\n"},
    ],
    ids=repr,
)
def test_an_event_that_cannot_be_ours_is_refused_unasked(
    nbjobs_emulator: Emulator, deferred: TaskRun, event: Any
) -> None:
    with pytest.raises(NbjobsError):
        resume(deferred, event)
    assert nbjobs_emulator.requests() == {}


def test_an_event_that_claims_success_is_not_believed(deferred: TaskRun) -> None:
    name = deferred.ti.xcoms["notebook_execution_job"]["name"]
    with pytest.raises(TaskDeferred):
        resume(deferred, {"v": 1, "job_name": name, "outcome": "done", "state": "JOB_STATE_SUCCEEDED"})


def test_an_outcome_of_a_later_version_is_a_reason_to_look(deferred: TaskRun) -> None:
    name = deferred.ti.xcoms["notebook_execution_job"]["name"]
    with pytest.raises(TaskDeferred):
        resume(deferred, {"v": 1, "job_name": name, "outcome": "paused", "more": [1]})


@pytest.mark.parametrize("begins_anew", [False, True])
def test_a_task_that_is_deferred_again_keeps_its_deadline(
    nbjobs_emulator: Emulator, project: str, begins_anew: bool
) -> None:
    nbjobs_emulator.fault({"job_state": "JOB_STATE_RUNNING"})
    bounded = {**JOB, "deferrable": True, "execution_timeout": timedelta(minutes=5)}
    run = TaskRun(lambda: CreateNotebookExecutionJobOperator(task_id="report", **bounded), begins_anew=begins_anew)
    with pytest.raises(TaskDeferred) as first:
        run.execute()
    deadline = first.value.trigger.deadline
    name = run.ti.xcoms["notebook_execution_job"]["name"]
    with pytest.raises(TaskDeferred) as second:
        resume(run, {"v": 1, "job_name": name, "outcome": "done", "deadline": deadline})
    assert second.value.trigger.deadline == deadline


@pytest.mark.parametrize(
    ("outcome", "said"), [("gone", "NBJOBS_EMULATOR_HOST"), ("error", "could not ask the service about it")]
)
def test_a_job_that_only_the_triggerer_does_not_see_is_left_alone(
    nbjobs_emulator: Emulator, project: str, deferred: TaskRun, outcome: str, said: str
) -> None:
    name = deferred.ti.xcoms["notebook_execution_job"]["name"]
    with pytest.raises(NotebookJobError, match=said):
        resume(deferred, {"v": 1, "job_name": name, "outcome": outcome})
    (job,) = nbjobs_emulator.book(project)
    assert job["state"] == "JOB_STATE_RUNNING"


def test_a_sensor_leaves_a_job_alone_that_only_the_triggerer_does_not_see(
    nbjobs_emulator: Emulator, project: str, deferred: TaskRun
) -> None:
    name = deferred.ti.xcoms["notebook_execution_job"]["name"]
    sensor = TaskRun(lambda: NotebookExecutionJobSensor(task_id="wait", job_name=name, deferrable=True))
    with pytest.raises(NotebookJobError, match="NBJOBS_EMULATOR_HOST"):
        resume(sensor, {"v": 1, "job_name": name, "outcome": "gone"})
    (job,) = nbjobs_emulator.book(project)
    assert job["state"] == "JOB_STATE_RUNNING"

"""A worker that is killed: Airflow calls on_kill, lets the task go on for five seconds, and then ends the process."""

from __future__ import annotations

import os
from typing import Any

import pytest
from task_runs import JOB, TaskRun

from airflow_nbjobs.emulator import Emulator
from airflow_nbjobs.exceptions import NotebookJobError
from airflow_nbjobs.operators import CreateNotebookExecutionJobOperator


def create() -> CreateNotebookExecutionJobOperator:
    """Return the operator as a DAG file makes it."""
    return CreateNotebookExecutionJobOperator(task_id="report", retries=1, **JOB)


def killed_at_first_look(run: TaskRun, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have a person end the task as soon as it has its job; Airflow calls on_kill in the middle of what it does."""
    publish: Any = run.ti.xcom_push

    def and_be_killed(key: str, value: Any) -> None:
        publish(key, value)
        monkeypatch.setattr(run.ti, "xcom_push", publish)
        run.operator.on_kill()

    monkeypatch.setattr(run.ti, "xcom_push", and_be_killed)


def test_a_killed_task_does_not_replace_the_job_that_its_own_kill_ended(
    nbjobs_emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It had re-attached to the job, and a job that was adopted and is CANCELLED is replaced otherwise."""
    nbjobs_emulator.fault({"job_state": "JOB_STATE_RUNNING"})
    first = TaskRun(create, max_tries=1)
    killed = TaskRun(create, max_tries=1, try_number=2, start_date=first.ti.start_date)
    monkeypatch.setattr(first.operator, "wait", lambda *_: None)
    first.execute()  # its worker dies while it waits

    killed_at_first_look(killed, monkeypatch)
    with pytest.raises(NotebookJobError, match="nothing is submitted"):
        killed.execute()

    (job,) = nbjobs_emulator.book(os.environ["GOOGLE_CLOUD_PROJECT"])
    assert job["state"] in {"JOB_STATE_CANCELLING", "JOB_STATE_CANCELLED"}
    assert job["labels"]["nbjobs-try"] == "1"

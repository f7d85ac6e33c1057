"""A task that cannot learn what its job does gives up, and says what that means for the job."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import TaskDeferred
from task_runs import JOB, TaskRun

from airflow_nbjobs.emulator import Emulator
from airflow_nbjobs.exceptions import NotebookJobError
from airflow_nbjobs.operators import CreateNotebookExecutionJobOperator

CASES = pytest.mark.parametrize(
    ("retries", "kill", "said", "became"),
    [
        (1, "cancel", "goes on, and the retry re-attaches to it", "RUNNING"),
        (0, "cancel", "was cancelled, since no retry is left", "CANCELLED"),
        (0, "delete", "was deleted, since no retry is left", "CANCELLED"),
        (0, "leave", r"is left running \(kill='leave'\), since no retry is left", "RUNNING"),
    ],
    ids=["with a retry", "without", "without, delete", "without, leave"],
)


@pytest.fixture
def looks(nbjobs_emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> Iterator[Emulator]:
    """Let a job run for good, and nobody wait between two looks that fail."""
    monkeypatch.setattr("airflow_nbjobs.api.client.backoff", lambda *_: 0.0)
    nbjobs_emulator.fault({"job_state": "JOB_STATE_RUNNING"})
    yield nbjobs_emulator
    nbjobs_emulator.clear_faults()


def task(retries: int, kill: str, **arguments: Any) -> TaskRun:
    """Return the first try of a task."""
    return TaskRun(
        lambda: CreateNotebookExecutionJobOperator(
            task_id="report", retries=retries, kill=kill, **{**JOB, **arguments}
        ),
        max_tries=retries,
    )


def state(emulator: Emulator, project: str) -> str:
    """Return the state of the one job."""
    (job,) = emulator.book(project)
    return str(job["state"].removeprefix("JOB_STATE_"))


@CASES
@pytest.mark.parametrize(("status", "times"), [(403, 1), (503, 30)], ids=["refused", "away for too long"])
def test_a_job_that_cannot_be_looked_at_goes_on_while_a_retry_is_left(
    looks: Emulator,
    project: str,
    status: int,
    times: int,
    retries: int,
    kill: str,
    said: str,
    became: str,
) -> None:
    looks.fault({"method": "get", "status": status, "times": times})
    with pytest.raises(NotebookJobError, match=rf"{status} .*notebookExecutionJobs/\d+ {said}"):
        task(retries, kill).execute()
    assert state(looks, project) == became


@CASES
def test_a_job_that_the_triggerer_could_not_look_at_goes_on_while_a_retry_is_left(
    looks: Emulator, project: str, retries: int, kill: str, said: str, became: str
) -> None:
    run = task(retries, kill, deferrable=True)
    with pytest.raises(TaskDeferred) as deferral:
        run.execute()
    event = {"v": 1, "job_name": deferral.value.trigger.job_name, "outcome": "error"}  # type: ignore[attr-defined]  # ours
    with pytest.raises(NotebookJobError, match=rf"could not ask the service .* {said}"):
        run.resume(deferral.value.method_name, {"event": event})
    assert state(looks, project) == became


def test_a_job_that_cannot_be_ended_is_named_as_one_that_may_still_run(looks: Emulator, project: str) -> None:
    for method in ("get", "cancel"):
        looks.fault({"method": method, "status": 403, "times": 1000})
    with pytest.raises(
        NotebookJobError, match=r"notebookExecutionJobs/\d+ could not be ended and may still run \(.*403"
    ):
        task(0, "cancel").execute()
    assert state(looks, project) == "RUNNING"

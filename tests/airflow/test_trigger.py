"""The trigger: one small event for each way in which waiting ends."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from task_runs import ACCOUNT, REGION, only_event

from airflow_nbjobs.api.job import GcsNotebookSource, NotebookExecutionJob
from airflow_nbjobs.api.names import job_of_operation, template_name
from airflow_nbjobs.emulator import Emulator
from airflow_nbjobs.hooks import NotebookExecutionJobHook
from airflow_nbjobs.triggers import NotebookExecutionJobTrigger


def submit(project: str) -> tuple[str, str]:
    """Create a job, and return its name and its operation's."""
    job = NotebookExecutionJob(
        display_name="watched",
        gcs_notebook_source=GcsNotebookSource(uri="gs://notebooks/r.ipynb"),
        notebook_runtime_template_resource_name=template_name("1", project, REGION),
        gcs_output_uri="gs://results",
        service_account=ACCOUNT,
    )
    operation = NotebookExecutionJobHook().create_job(job, location=REGION)
    return str(job_of_operation(operation.name)), operation.name


@pytest.fixture
def running(nbjobs_emulator: Emulator, project: str) -> tuple[str, str]:
    """Create a job that runs until somebody ends it."""
    nbjobs_emulator.fault({"job_state": "JOB_STATE_RUNNING"})
    return submit(project)


def event(**arguments: Any) -> dict[str, Any]:
    """Return the event of a trigger that looks often."""
    return asyncio.run(only_event(NotebookExecutionJobTrigger(**{"poll_interval": 0.1, **arguments})))


def test_a_trigger_survives_being_stored() -> None:
    given = {
        "job_name": "projects/p/locations/l/notebookExecutionJobs/1",
        "operation_name": "projects/p/locations/l/notebookExecutionJobs/1/operations/2",
        "created_at": "2026-11-22T10:00:00+00:00",
        "deadline": "2026-11-22T11:00:00+00:00",
        "kill": "delete",
        "gcp_conn_id": "mine",
        "impersonation_chain": ["a@x.y"],
        "poll_interval": 12.5,
        "v": 1,
    }
    path, kwargs = NotebookExecutionJobTrigger(**given).serialize()
    assert (path, kwargs) == ("airflow_nbjobs.triggers.NotebookExecutionJobTrigger", given)


def test_a_name_is_all_that_a_trigger_needs(project: str) -> None:
    name, _ = submit(project)
    assert NotebookExecutionJobTrigger(name).serialize()[1] == {
        "job_name": name,
        "operation_name": None,
        "created_at": None,
        "deadline": None,
        "kill": "leave",
        "gcp_conn_id": "google_cloud_default",
        "impersonation_chain": None,
        "poll_interval": 30,
        "v": 1,
    }
    assert event(job_name=name)["outcome"] == "done"


def test_the_event_says_what_was_seen(project: str) -> None:
    name, operation = submit(project)
    assert event(job_name=name, operation_name=operation) == {
        "v": 1,
        "job_name": name,
        "operation_name": operation,
        "outcome": "done",
        "state": "JOB_STATE_SUCCEEDED",
    }


@pytest.mark.parametrize("word", ["SUCCEEDED", "FAILED", "CANCELLED", "EXPIRED", "PARTIALLY_SUCCEEDED"])
def test_each_end_of_a_job_is_an_event(nbjobs_emulator: Emulator, project: str, word: str) -> None:
    nbjobs_emulator.fault({"job_state": f"JOB_STATE_{word}"})
    name, _ = submit(project)
    told = event(job_name=name)
    assert (told["outcome"], told["state"]) == ("done", f"JOB_STATE_{word}")


def test_an_event_is_small_whatever_the_service_says(nbjobs_emulator: Emulator, project: str) -> None:
    nbjobs_emulator.fault({"job_state": "JOB_STATE_FAILED", "status_message": "x" * 5000})
    name, operation = submit(project)
    assert len(json.dumps(event(job_name=name, operation_name=operation))) < 1000


def test_a_deadline_is_kept_to_the_second(running: tuple[str, str]) -> None:
    deadline = datetime.now(UTC) + timedelta(seconds=1)
    told = event(job_name=running[0], deadline=deadline.isoformat())
    assert told["outcome"] == "timeout"
    assert timedelta(0) <= datetime.now(UTC) - deadline < timedelta(seconds=1)


def test_a_deadline_that_has_passed_needs_no_look(nbjobs_emulator: Emulator, running: tuple[str, str]) -> None:
    nbjobs_emulator.reset_requests()
    told = event(job_name=running[0], deadline=(datetime.now(UTC) - timedelta(hours=1)).isoformat())
    assert (told["outcome"], told["state"]) == ("timeout", None)
    assert nbjobs_emulator.requests() == {}


def test_a_deleted_job_is_gone(nbjobs_emulator: Emulator, running: tuple[str, str]) -> None:
    NotebookExecutionJobHook().delete_job(running[0])
    assert event(job_name=running[0])["outcome"] == "gone"


def test_an_outage_is_outlived(nbjobs_emulator: Emulator, project: str) -> None:
    name, _ = submit(project)
    nbjobs_emulator.fault({"method": "get", "status": 503, "times": 2})
    nbjobs_emulator.fault({"method": "get", "drop": True})
    assert event(job_name=name)["outcome"] == "done"


def test_a_service_that_refuses_is_given_up(nbjobs_emulator: Emulator, running: tuple[str, str]) -> None:
    for method in ("list", "get"):
        nbjobs_emulator.fault({"method": method, "status": 403, "times": 1000})
    try:
        assert event(job_name=running[0])["outcome"] == "error"
    finally:
        nbjobs_emulator.clear_faults()


def test_changes_of_state_are_logged_and_looks_are_not(
    nbjobs_emulator: Emulator, project: str, logged: Callable[[], list[str]]
) -> None:
    nbjobs_emulator.fault({"job_state": ["JOB_STATE_RUNNING", "JOB_STATE_SUCCEEDED"], "seconds": 0.7})
    name, _ = submit(project)
    event(job_name=name)
    words = [line.split()[-1] for line in logged() if line.startswith(f"Notebook job {name} is ")]
    assert words == list(dict.fromkeys(words))
    assert words[-1] == "SUCCEEDED."
    assert nbjobs_emulator.requests()["get"]["200"] > len(words)


def test_a_trigger_that_is_cancelled_stops_at_once(running: tuple[str, str]) -> None:
    async def cancel() -> float:
        waiting = asyncio.create_task(only_event(NotebookExecutionJobTrigger(running[0])))
        await asyncio.sleep(0.3)
        begun = time.monotonic()
        waiting.cancel()
        await asyncio.wait([waiting], timeout=5)
        assert waiting.cancelled()
        return time.monotonic() - begun

    assert asyncio.run(cancel()) < 1


def test_a_job_of_no_policy_is_left_alone(nbjobs_emulator: Emulator, running: tuple[str, str]) -> None:
    trigger = NotebookExecutionJobTrigger(*running, kill="leave")
    nbjobs_emulator.reset_requests()
    asyncio.run(trigger.on_kill())
    assert nbjobs_emulator.requests() == {}

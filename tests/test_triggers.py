"""The trigger: one small event for each way in which waiting ends."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import XCom
from airflow.sdk.exceptions import AirflowRuntimeError, ErrorType
from airflow.sdk.execution_time.comms import ErrorResponse
from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance
from airflow.triggers.base import BaseTrigger

from airflow_nbjobs.api.job import GcsNotebookSource, NotebookExecutionJob
from airflow_nbjobs.api.names import job_of_operation, template_name
from airflow_nbjobs.hooks import NotebookExecutionJobAsyncHook, NotebookExecutionJobHook
from airflow_nbjobs.triggers import NotebookExecutionJobTrigger
from tests.support.cloud import Cloud
from tests.support.emulators import using
from tests.support.google_lookalike import NAME, Answer, Server
from tests.support.hooks import ForgetfulHook
from tests.support.logged import Logged
from tests.support.task_runs import ACCOUNT, REGION, only_event
from tests.support.waiting import until

nbjobs_emulator_session = using("simulated")


def submit(project: str, hook: NotebookExecutionJobHook | None = None) -> tuple[str, str]:
    """Create a job, and return its name and its operation's."""
    job = NotebookExecutionJob(
        display_name="watched",
        gcs_notebook_source=GcsNotebookSource(uri="gs://notebooks/r.ipynb"),
        notebook_runtime_template_resource_name=template_name("1", project, REGION),
        gcs_output_uri="gs://results",
        service_account=ACCOUNT,
    )
    operation = (hook or NotebookExecutionJobHook()).create_job(job, location=REGION)
    return str(job_of_operation(operation.name)), operation.name


@pytest.fixture
def running(cloud: Cloud) -> tuple[str, str]:
    """Create a job that runs until somebody ends it."""
    cloud.fault({"job_state": "JOB_STATE_RUNNING"})
    return submit(cloud.project)


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
    seen = event(job_name=name, operation_name=operation)
    running_since = seen.pop("running_since")  # None, if the job had ended before it was seen to run
    assert running_since is None or datetime.fromisoformat(running_since) <= datetime.now(UTC)
    assert seen == {
        "v": 1,
        "job_name": name,
        "operation_name": operation,
        "outcome": "done",
        "state": "JOB_STATE_SUCCEEDED",
        "deadline": None,
        "reason": None,
        "kind": "OTHER",
    }


@pytest.mark.parametrize("word", ["SUCCEEDED", "FAILED", "CANCELLED", "EXPIRED", "PARTIALLY_SUCCEEDED"])
def test_each_end_of_a_job_is_an_event(cloud: Cloud, word: str) -> None:
    cloud.fault({"job_state": f"JOB_STATE_{word}"})
    name, _ = submit(cloud.project)
    told = event(job_name=name)
    assert (told["outcome"], told["state"]) == ("done", f"JOB_STATE_{word}")


def test_an_event_is_small_whatever_the_service_says(cloud: Cloud) -> None:
    cloud.fault({"job_state": "JOB_STATE_FAILED", "status_message": "x" * 5000})
    name, operation = submit(cloud.project)
    assert len(json.dumps(event(job_name=name, operation_name=operation))) < 1000


def test_a_deadline_does_not_wait_for_the_next_look(running: tuple[str, str]) -> None:
    deadline = datetime.now(UTC) + timedelta(seconds=1)
    told = event(job_name=running[0], deadline=deadline.isoformat(), poll_interval=3600)
    assert told["outcome"] == "timeout"
    assert timedelta(0) <= datetime.now(UTC) - deadline < timedelta(seconds=600)


def test_a_deadline_that_has_passed_needs_no_look(cloud: Cloud, running: tuple[str, str]) -> None:
    cloud.reset_requests()
    told = event(job_name=running[0], deadline=(datetime.now(UTC) - timedelta(hours=1)).isoformat())
    assert (told["outcome"], told["state"]) == ("timeout", None)
    assert cloud.requests() == {}


def test_a_deleted_job_is_gone(cloud: Cloud, running: tuple[str, str]) -> None:
    NotebookExecutionJobHook().delete_job(running[0])
    assert event(job_name=running[0], created_at="2026-01-01T00:00:00Z")["outcome"] == "gone"


def test_an_outage_is_outlived(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("airflow_nbjobs.api.pacing._FIRST", 0.005)
    name, _ = submit(cloud.project)
    cloud.fault({"method": "get", "status": 503, "times": 2})
    cloud.fault({"method": "get", "drop": True})
    assert event(job_name=name)["outcome"] == "done"


def test_a_service_that_refuses_is_given_up(cloud: Cloud, running: tuple[str, str]) -> None:
    for method in ("list", "get"):
        cloud.fault({"method": method, "status": 403, "times": 1000})
    try:
        told = event(job_name=running[0])
        assert told["outcome"] == "error"
        assert told["reason"].startswith("403 ")
    finally:
        cloud.clear_faults()


def test_changes_of_state_are_logged_and_looks_are_not(cloud: Cloud, logged: Logged) -> None:
    cloud.fault({"job_state": ["JOB_STATE_RUNNING", "JOB_STATE_SUCCEEDED"], "seconds": 0.7})
    name, _ = submit(cloud.project)
    event(job_name=name)
    words = [line.split()[-1] for line in logged() if line.startswith(f"Notebook job {name} is ")]
    assert words == list(dict.fromkeys(words))
    assert words[-1] == "SUCCEEDED."
    assert cloud.requests()["get"]["200"] > len(words)


async def test_a_slow_service_does_not_block_other_triggers(
    cloud: Cloud, serve: Callable[..., Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The answer comes when the loop has done something else meanwhile."""
    is_asked, goes_on = threading.Event(), threading.Event()

    def slow(_: int) -> Answer:
        is_asked.set()
        return 200, {}, {"name": NAME, "jobState": f"JOB_STATE_{'SUCCEEDED' if goes_on.wait(60) else 'FAILED'}"}

    monkeypatch.setenv("NBJOBS_EMULATOR_HOST", serve(slow).url)

    async def others() -> None:
        await until(is_asked.is_set)
        goes_on.set()

    told, _ = await asyncio.gather(only_event(NotebookExecutionJobTrigger(NAME, poll_interval=0.1)), others())
    assert told["state"] == "JOB_STATE_SUCCEEDED"


async def test_a_trigger_that_is_cancelled_stops_at_once(running: tuple[str, str]) -> None:
    waiting = asyncio.create_task(only_event(NotebookExecutionJobTrigger(running[0], poll_interval=3600)))
    await asyncio.sleep(0.3)
    waiting.cancel()
    await asyncio.wait([waiting], timeout=600)
    assert waiting.cancelled()


async def test_a_job_is_ended_though_airflow_cancels_the_trigger(
    cloud: Cloud, task_instances: TaskInstances, running: tuple[str, str]
) -> None:
    """Airflow 3.3.2 allows a trigger's on_kill about a second."""
    trigger = NotebookExecutionJobTrigger(running[0], kill="cancel")
    trigger.task_instance = task_instances.add("failed", None)
    cloud.fault({"method": "list_operations", "delay_seconds": 1.0})
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(trigger.on_kill(), 0.3)
    await until(lambda: state_of(cloud, running[0]) in ENDED["cancel"])


@pytest.mark.skipif(not hasattr(BaseTrigger, "on_kill"), reason="before Airflow 3.3 a canceled trigger asks by itself")
async def test_a_moved_trigger_asks_and_ends_nothing(
    cloud: Cloud, task_instances: TaskInstances, running: tuple[str, str]
) -> None:
    """Airflow cancels a trigger that goes to another triggerer, and calls on_kill only when a person ends the task."""
    trigger = NotebookExecutionJobTrigger(*running, kill="cancel", poll_interval=0.1)
    trigger.task_instance = task_instances.add("failed", None)
    waiting = asyncio.create_task(only_event(trigger))
    await until(lambda: cloud.requests().get("get"))
    waiting.cancel()
    await asyncio.wait([waiting])
    await asyncio.sleep(0.5)
    assert state_of(cloud, running[0]) == "RUNNING"


def test_a_job_of_no_policy_is_left_alone(cloud: Cloud, running: tuple[str, str]) -> None:
    trigger = NotebookExecutionJobTrigger(*running, kill="leave")
    cloud.reset_requests()
    asyncio.run(trigger.on_kill())
    assert cloud.requests() == {}


class TaskInstances:
    """What Airflow's database says of tasks: a triggerer's supervisor would ask it, and is not here.

    ``tests/system/test_kills.py`` has one.

    :ivar failures: how many questions get no answer before the first one does.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.failures = 0
        self._states: dict[str, str | None] = {}
        self._notes: dict[str, dict[str, Any] | None] = {}
        monkeypatch.setattr(RuntimeTaskInstance, "get_task_states", self._get_task_states)
        monkeypatch.setattr(XCom, "get_one", self._get_one)

    def add(self, state: str | None, note: dict[str, Any] | None) -> SimpleNamespace:
        """Add a task in this state, whose XCom names this job, and return its identity."""
        task_id = str(len(self._states))
        self._states[task_id] = state
        self._notes[task_id] = note and {"v": 1, "operation": None, "adopted": False, **note}
        return SimpleNamespace(dag_id="d", run_id="r", task_id=task_id, map_index=-1)

    def _get_one(self, *, task_id: str, **_: Any) -> Any:
        note = self._notes[task_id]
        if note and note.get("status_code"):
            raise AirflowRuntimeError(ErrorResponse(error=ErrorType.API_SERVER_ERROR, detail=note))
        return note

    def _get_task_states(self, *, task_ids: list[str], **_: Any) -> dict[str, Any]:
        if self.failures:
            self.failures -= 1
            raise RuntimeError("API_SERVER_ERROR: 503")
        return {"r": {task_id: self._states[task_id] for task_id in task_ids}}


@pytest.fixture
def task_instances(monkeypatch: pytest.MonkeyPatch) -> TaskInstances:
    """Answer for Airflow, and let the pauses between two tries be a hundredth of what they are."""
    monkeypatch.setattr("airflow_nbjobs.api.pacing._FIRST", 0.005)
    return TaskInstances(monkeypatch)


def state_of(cloud: Cloud, name: str) -> str:
    """Return the state of a job by the emulator's own book, or that it was deleted."""
    (job,) = (each for each in cloud.book() if each["id"] == name.rpartition("/")[2])
    return "deleted" if job["deleted"] else str(job["state"].removeprefix("JOB_STATE_"))


ENDED = {"cancel": {"CANCELLING", "CANCELLED"}, "delete": {"deleted"}}
QUEUED = ["scheduled", "queued"]
REFUSED = {"status_code": 403}
"""What Airflow 3.4 answers for the XCom of a try that was cleared or retried."""


@pytest.mark.parametrize("kill", ["cancel", "delete"])
async def test_a_job_is_ended_when_its_task_stops_waiting(
    cloud: Cloud, task_instances: TaskInstances, kill: str
) -> None:
    """A stalled triggerer gets a kill that no person asked for; the task may be in any state by then."""
    other = {"name": "projects/p/locations/l/notebookExecutionJobs/other"}
    cases: dict[tuple[Any, str], bool] = {
        **{(state, "same"): False for state in ["deferred", "running", "up_for_retry"]},
        **{(state, "other"): True for state in ["deferred", "running"]},
        **{(state, noted): True for state in QUEUED for noted in ["same", "other", "none"]},
        ("running", "none"): True,
        **{(state, none): False for state in ["up_for_retry"] for none in ["other", "none", "refused"]},
        **{(state, "refused"): True for state in ["deferred", "running"]},
        ("up_for_reschedule", "same"): False,
        ("deferred", "none"): False,
        **{(state, "same"): True for state in ["failed", "success", "skipped", "removed", "restarting", None]},
    }
    cloud.fault({"job_state": "JOB_STATE_RUNNING", "times": len(cases)})
    triggers, hook = {}, NotebookExecutionJobHook()
    for state, noted in cases:
        name, operation = submit(cloud.project, hook)
        trigger = triggers[state, noted] = NotebookExecutionJobTrigger(name, operation, kill=kill)
        note = {"same": {"name": name}, "other": other, "none": None, "refused": REFUSED}[noted]
        trigger.task_instance = task_instances.add(state, note)
    await asyncio.gather(*(trigger.on_kill() for trigger in triggers.values()))
    states = {case: state_of(cloud, trigger.job_name) for case, trigger in triggers.items()}
    assert {case: state in ENDED[kill] for case, state in states.items()} == cases
    assert {state for case, state in states.items() if not cases[case]} == {"RUNNING"}


@pytest.mark.parametrize("state", ["success", *QUEUED])
def test_the_record_of_a_job_that_is_over_is_kept(
    cloud: Cloud, task_instances: TaskInstances, logged: Logged, state: str
) -> None:
    """Another triggerer has fired the event, and the task resumes or has its result."""
    cloud.fault({"job_state": "JOB_STATE_SUCCEEDED"})
    trigger = NotebookExecutionJobTrigger(*submit(cloud.project), kill="delete")
    trigger.task_instance = task_instances.add(state, {"name": trigger.job_name})
    asyncio.run(trigger.on_kill())
    assert state_of(cloud, trigger.job_name) == "SUCCEEDED"
    assert f"The task no longer waits: {trigger.job_name} had already ended (SUCCEEDED)." in logged()


def test_airflow_is_asked_again_when_it_has_no_answer(
    cloud: Cloud, task_instances: TaskInstances, running: tuple[str, str]
) -> None:
    trigger = NotebookExecutionJobTrigger(*running, kill="cancel")
    trigger.task_instance = task_instances.add("failed", None)
    task_instances.failures = 3
    asyncio.run(trigger.on_kill())
    assert state_of(cloud, trigger.job_name) in ENDED["cancel"]


def test_a_connection_is_looked_up_again_to_end_a_job(
    cloud: Cloud,
    task_instances: TaskInstances,
    running: tuple[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("airflow_nbjobs.hooks.shared_hook.NotebookExecutionJobAsyncHook", ForgetfulHook)
    trigger = NotebookExecutionJobTrigger(*running, kill="cancel")
    trigger.task_instance = task_instances.add("failed", None)
    asyncio.run(trigger.on_kill())
    assert state_of(cloud, trigger.job_name) in ENDED["cancel"]


def test_a_job_that_could_not_be_ended_is_named(
    task_instances: TaskInstances, running: tuple[str, str], monkeypatch: pytest.MonkeyPatch, logged: Logged
) -> None:
    monkeypatch.setattr("airflow_nbjobs.triggers._ANSWER_SECONDS", 0.2)
    trigger = NotebookExecutionJobTrigger(*running, kill="cancel")
    trigger.task_instance = task_instances.add("failed", None)
    task_instances.failures = 1_000_000
    asyncio.run(trigger.on_kill())
    assert [line for line in logged() if f"{running[0]} may still run" in line and "503" in line]


class CountedHook(NotebookExecutionJobAsyncHook):
    """A connection that counts how often it was looked up, and how often it was closed."""

    looks = 0
    closings = 0

    async def _extras(self) -> dict[str, Any]:
        type(self).looks += 1
        return await super()._extras()

    async def close(self) -> None:
        type(self).closings += 1
        await super().close()


async def test_many_ended_tasks_look_up_one_connection_once(
    cloud: Cloud, task_instances: TaskInstances, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("airflow_nbjobs.hooks.shared_hook.NotebookExecutionJobAsyncHook", CountedHook)
    cloud.fault({"job_state": "JOB_STATE_RUNNING", "times": 25})
    hook = NotebookExecutionJobHook()
    triggers = [NotebookExecutionJobTrigger(*submit(cloud.project, hook), kill="cancel") for _ in range(25)]
    for trigger in triggers:
        trigger.task_instance = task_instances.add("failed", None)
    await asyncio.gather(*(trigger.on_kill() for trigger in triggers))
    assert {state_of(cloud, trigger.job_name) for trigger in triggers} <= ENDED["cancel"]
    assert (CountedHook.looks, CountedHook.closings) == (1, 1)

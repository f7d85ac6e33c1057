"""A resumed task trusts no event: it reads the job, or refuses."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import TaskDeferred
from hypothesis import given
from hypothesis import strategies as st

from airflow_nbjobs.api.names import same_job
from airflow_nbjobs.exceptions import NbjobsError, NotebookJobError, NotebookJobTimeoutError
from airflow_nbjobs.run.note import Event
from airflow_nbjobs.sensors import NotebookExecutionJobSensor
from tests.support.cloud import Cloud
from tests.support.logged import Logged
from tests.support.task_runs import TaskRun, create
from tests.support.waiting import eventually

NAME = "projects/p/locations/us-central1/notebookExecutionJobs/1"
OWN = NAME.replace("/p/", "/{project}/")


@pytest.fixture
def deferred(cloud: Cloud) -> TaskRun:
    """Defer a task whose job goes on."""
    cloud.fault({"job_state": "JOB_STATE_RUNNING"})
    run = create(deferrable=True, retries=1)
    run.defer()
    cloud.reset_requests()
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
        {"v": 2, "job_name": OWN, "outcome": "done"},
        {"v": True, "job_name": OWN, "outcome": "done"},
        {"job_name": OWN, "outcome": "done"},
        {"v": 1},
        {"v": 1, "job_name": None},
        {"v": 1, "job_name": f"{NAME}/../2"},
        {"v": 1, "job_name": f"{NAME}?view=FULL"},
        {"v": 1, "job_name": NAME.replace("us-central1", "evil.example.com/")},
        {"v": 1, "job_name": OWN.replace("us-central1", "europe-west1"), "outcome": "done"},
        {"v": 1, "job_name": OWN.replace("{project}", "other"), "outcome": "done"},
        {"v": 1, "job_name": f"{NAME}\n"},
    ],
    ids=repr,
)
def test_an_event_that_cannot_be_ours_is_refused_unasked(cloud: Cloud, deferred: TaskRun, event: Any) -> None:
    if isinstance(event, dict) and "job_name" in event:
        event = {**event, "job_name": str(event["job_name"]).replace("{cloud.project}", cloud.project)}
    with pytest.raises(NbjobsError):
        resume(deferred, event)
    assert cloud.requests() == {}


HOSTILE = st.one_of(st.none(), st.booleans(), st.integers(), st.text(), st.lists(st.text(), max_size=2))
PIECES = st.sampled_from([*f"{OWN}/operations".split("/"), "..", "%2e%2e", "@evil", "", " "])
NAMES = st.one_of(HOSTILE, st.lists(PIECES, max_size=9).map("/".join), st.text().map(lambda text: f"{NAME}{text}"))


@given(
    number=st.integers(min_value=1, max_value=10**12),
    job_id=st.one_of(st.from_regex(r"[A-Za-z0-9._~-]{1,20}", fullmatch=True), st.text()),
    operation=NAMES,
    rest=st.dictionaries(st.sampled_from(["v", "job_name", "outcome", "state", "deadline", "reason"]), NAMES),
)
def test_an_event_leads_nowhere_but_to_the_tasks_own_place(
    number: int, job_id: str, operation: Any, rest: dict[str, Any]
) -> None:
    """Its names become paths, and its location a host."""
    parent = "projects/p/locations/us-central1"
    name = f"projects/{number}/locations/us-central1/notebookExecutionJobs/{job_id}"
    try:
        event = {"v": 1, "job_name": name, "operation_name": operation, "outcome": "done", **rest}
        told = Event.from_payload(event, parent)
    except NbjobsError:
        return
    own = re.compile(rf"{parent}/notebookExecutionJobs/[A-Za-z0-9][A-Za-z0-9._~-]*")
    assert own.fullmatch(told.job_name)
    if told.operation_name is not None:
        assert re.fullmatch(rf"{re.escape(told.job_name)}/operations/[A-Za-z0-9][A-Za-z0-9._~-]*", told.operation_name)
    assert told.ends_at is None or told.ends_at.tzinfo is not None


@pytest.mark.parametrize("outcome", ["done", "timeout", "error", "gone"])
def test_an_event_about_a_foreign_job_ends_the_own(cloud: Cloud, outcome: str) -> None:
    """The task's own note is lost."""
    cloud.fault({"job_state": "JOB_STATE_RUNNING", "times": 2})
    own, victim = (create(task_id=task_id, deferrable=True) for task_id in ("own", "victim"))
    for run in (own, victim):
        run.defer()
    own.ti.xcoms.clear()
    name = victim.job_name
    with pytest.raises(NotebookJobError, match=r"is not a job of this task\. .* was canceled, since no"):
        resume(own, {"v": 1, "job_name": name, "outcome": outcome})
    assert cloud.states() == ["CANCELLED", "RUNNING"]


def test_a_foreign_project_number_leads_to_the_own_project(cloud: Cloud, deferred: TaskRun) -> None:
    name = deferred.ti.xcoms.pop("notebook_execution_job")["name"]
    number = name.split("/")[1]
    with pytest.raises(TaskDeferred) as again:
        resume(deferred, {"v": 1, "job_name": name.replace(number, "123"), "outcome": "done"})
    assert same_job(again.value.trigger.job_name, name)
    assert cloud.states() == ["RUNNING"]


def test_an_event_that_claims_success_is_not_believed(deferred: TaskRun) -> None:
    with pytest.raises(TaskDeferred):
        deferred.told(state="JOB_STATE_SUCCEEDED")


def test_an_unknown_outcome_makes_the_task_read_its_job(deferred: TaskRun) -> None:
    with pytest.raises(TaskDeferred):
        deferred.told("paused", more=[1])


@pytest.mark.parametrize("starts_when_resumed", [False, True])
def test_a_task_that_is_deferred_again_keeps_its_deadline(cloud: Cloud, starts_when_resumed: bool) -> None:
    cloud.fault({"job_state": "JOB_STATE_RUNNING"})
    run = create(starts_when_resumed=starts_when_resumed, deferrable=True, execution_timeout=timedelta(minutes=5))
    first = run.defer()
    deadline = first.trigger.deadline
    with pytest.raises(TaskDeferred) as second:
        run.told(deadline=deadline)
    assert second.value.trigger.deadline == deadline


def test_a_refused_look_says_why_the_job_cannot_be_awaited(deferred: TaskRun) -> None:
    with pytest.raises(NotebookJobError, match=r"about it: 403 PERMISSION_DENIED: no\. Job: "):
        deferred.told("error", reason="403 PERMISSION_DENIED: no.")


def test_a_time_out_beyond_the_calendar_is_no_deadline(cloud: Cloud) -> None:
    cloud.fault({"job_state": "JOB_STATE_RUNNING"})
    deferral = create(deferrable=True, execution_timeout=timedelta(days=3_000_000)).defer()
    assert (deferral.trigger.deadline, deferral.timeout) == (None, None)


def test_an_exceeded_deadline_says_what_happened_to_the_job(cloud: Cloud, deferred: TaskRun) -> None:
    with pytest.raises(NotebookJobTimeoutError, match=r"was still RUNNING after .*: .* was canceled\."):
        deferred.told("timeout")


def test_a_failed_trigger_is_logged_with_its_job(cloud: Cloud, deferred: TaskRun, logged: Logged) -> None:
    name = deferred.job_name
    with pytest.raises(Exception, match="Trigger failure"):
        deferred.resume("__fail__", {"error": "Trigger failure"})
    assert f"The trigger failed: {name} keeps running, and the retry re-attaches to it." in logged()


@pytest.mark.parametrize("times", [1, 3])
def test_a_job_that_is_missing_for_a_moment_is_awaited(cloud: Cloud, times: int) -> None:
    cloud.fault({"job_state": ["JOB_STATE_RUNNING", "JOB_STATE_SUCCEEDED"], "seconds": 2})
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(create().execute)
        eventually(lambda: waiting.done() or cloud.requests().get("get", {}).get("200", 0) >= 3)
        cloud.fault({"method": "get", "status": 404, "times": times})
        assert waiting.result(30)["state"] == "JOB_STATE_SUCCEEDED"


@pytest.mark.parametrize(
    ("outcome", "said"), [("gone", "the triggerer does not find it"), ("error", "could not ask the service about it")]
)
def test_a_job_only_the_triggerer_misses_is_left_running(
    cloud: Cloud, deferred: TaskRun, outcome: str, said: str
) -> None:
    with pytest.raises(NotebookJobError, match=said):
        deferred.told(outcome)
    assert cloud.states() == ["RUNNING"]


def test_a_sensor_leaves_a_job_its_trigger_misses_running(cloud: Cloud, deferred: TaskRun) -> None:
    name = deferred.job_name
    sensor = TaskRun(lambda: NotebookExecutionJobSensor(task_id="wait", job_name=name, deferrable=True))
    with pytest.raises(NotebookJobError, match="the triggerer does not find it"):
        resume(sensor, {"v": 1, "job_name": name, "outcome": "gone"})
    assert cloud.states() == ["RUNNING"]

"""A deferral that a released version made is waited for and resumed by this one.

``deferrals/`` holds what each released version left with Airflow: its trigger's arguments, its event and its task's
XComs, as they were recorded; only the deadline was put off. A file is added with each release, and none is changed.
"""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk.module_loading import import_string

from airflow_nbjobs.exceptions import NotebookJobTimeoutError
from airflow_nbjobs.sensors import NotebookExecutionJobSensor
from tests.support.cloud import Cloud
from tests.support.task_runs import TaskRun, create, only_event

RECORDED = Path(__file__).with_name("deferrals")
EACH_RELEASE = pytest.mark.parametrize("version", ["0.1.0"])


def recorded(file: str, job: dict[str, Any]) -> dict[str, Any]:
    """Return what was recorded, about a job that is there."""
    text = (RECORDED / file).read_text()
    kwargs = json.loads(text)["trigger"]["kwargs"]
    if kwargs["operation_name"]:
        text = text.replace(kwargs["operation_name"], job["operation"])
    return dict(json.loads(text.replace(kwargs["job_name"], job["name"])))


def waited_for(then: dict[str, Any]) -> dict[str, Any]:
    """Return the event of the recorded trigger, made as a triggerer makes it."""
    trigger = import_string(then["trigger"]["path"])(**then["trigger"]["kwargs"])
    return asyncio.run(only_event(trigger))


def deferred() -> TaskRun:
    """Return a task that was deferred, with its job."""
    run = create(deferrable=True)
    run.defer()
    return run


@pytest.fixture
def succeeding(cloud: Cloud) -> TaskRun:
    """Return a deferred task whose job succeeds soon."""
    cloud.fault({"job_state": ["JOB_STATE_RUNNING", "JOB_STATE_SUCCEEDED"], "seconds": 0.3})
    return deferred()


@EACH_RELEASE
def test_an_old_create_deferral_resumes_after_an_upgrade(cloud: Cloud, succeeding: TaskRun, version: str) -> None:
    job = succeeding.ti.xcoms["notebook_execution_job"]
    then = recorded(f"{version}-create.json", job)
    assert waited_for(then).items() >= then["event"].items()
    succeeding.ti.xcoms = then["xcoms"]
    result = succeeding.resume(then["next_method"], {"event": then["event"]})
    assert (result["name"], result["state"]) == (job["name"], "JOB_STATE_SUCCEEDED")
    assert cloud.states() == ["SUCCEEDED"]


@EACH_RELEASE
def test_an_old_sensor_deferral_resumes_after_an_upgrade(succeeding: TaskRun, version: str) -> None:
    job = succeeding.ti.xcoms["notebook_execution_job"]
    then = recorded(f"{version}-sensor.json", job)
    assert waited_for(then).items() >= then["event"].items()
    sensor = TaskRun(lambda: NotebookExecutionJobSensor(task_id="wait", job_name=job["name"], deferrable=True))
    assert sensor.resume(then["next_method"], {"event": then["event"]})["name"] == job["name"]


@EACH_RELEASE
def test_an_old_deadline_ends_the_job_after_an_upgrade(cloud: Cloud, version: str) -> None:
    cloud.fault({"job_state": "JOB_STATE_RUNNING"})
    run = deferred()
    then = recorded(f"{version}-create.json", run.ti.xcoms["notebook_execution_job"])
    run.ti.xcoms = then["xcoms"]
    with pytest.raises(NotebookJobTimeoutError, match="was still RUNNING"):
        run.resume(then["next_method"], {"event": {**then["event"], "outcome": "timeout"}})
    assert cloud.states() == ["CANCELLED"]

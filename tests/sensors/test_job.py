"""The sensor comes to the same end in each of its modes, and ends no job."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import (
    AirflowFailException,
    AirflowSensorTimeout,
    AirflowSkipException,
    TaskDeferred,
)

from airflow_nbjobs.exceptions import NotFoundError
from airflow_nbjobs.sensors import NotebookExecutionJobSensor
from tests.support.cloud import Cloud
from tests.support.emulators import using
from tests.support.logged import Logged
from tests.support.task_runs import TaskRun, submit

nbjobs_emulator_session = using("simulated")

try:
    from airflow.sdk.exceptions import AirflowRescheduleException
except ImportError:  # Airflow 3.1
    from airflow.exceptions import AirflowRescheduleException

MODES = ["poke", "reschedule", "deferrable"]
ON_3_1 = "deferrable on Airflow 3.1"
IN_EACH_MODE = pytest.mark.parametrize("mode", MODES)
SKIPPING = pytest.mark.parametrize("flag", ["soft_fail", "never_fail"])


def wait(job: Any, mode: str, **arguments: Any) -> Any:
    """Wait for a job in a mode, rescheduled as often as the sensor wants."""
    how = {"deferrable": False, "mode": mode} if mode in MODES[:2] else {"deferrable": True}
    wanted = {"task_id": "wait", "job_name": job, "poke_interval": 0.1, **how, **arguments}
    run = TaskRun(lambda: NotebookExecutionJobSensor(**wanted), starts_when_resumed=mode == ON_3_1)
    begun = run.ti.start_date
    run.ti.get_first_reschedule_date = lambda _: begun
    while True:
        try:
            return run.to_its_end()
        except AirflowRescheduleException:
            run = TaskRun(lambda: NotebookExecutionJobSensor(**wanted))
            run.ti.get_first_reschedule_date = lambda _: begun


@IN_EACH_MODE
def test_the_sensor_returns_what_the_create_task_would(cloud: Cloud, mode: str) -> None:
    made = submit()
    results = {"results": None}  # a simulated job leaves no notebook to read
    assert wait(made, mode) == {**made, "state": "JOB_STATE_SUCCEEDED", **results}


@IN_EACH_MODE
def test_a_job_that_ends_otherwise_fails_the_sensor_for_good(cloud: Cloud, mode: str) -> None:
    cloud.fault({"job_state": ["JOB_STATE_RUNNING", "JOB_STATE_EXPIRED"], "seconds": 0.2})
    with pytest.raises(AirflowFailException, match=r"The emulator was asked to end this job.* EXPIRED after"):
        wait(submit(), mode)


@IN_EACH_MODE
@SKIPPING
def test_a_failed_job_skips_a_sensor_that_may_not_fail(cloud: Cloud, mode: str, flag: str) -> None:
    cloud.fault({"job_state": "JOB_STATE_FAILED"})
    with pytest.raises(AirflowSkipException, match="FAILED after"):
        wait(submit(), mode, **{flag: True})


@pytest.mark.parametrize("mode", [*MODES, ON_3_1])
@pytest.mark.parametrize(
    ("flags", "error"),
    [
        ({}, AirflowSensorTimeout),
        ({"soft_fail": True}, AirflowSkipException),
        ({"never_fail": True}, AirflowSkipException),
    ],
    ids=repr,
)
def test_a_sensor_times_out_and_its_job_goes_on(
    cloud: Cloud, mode: str, flags: dict[str, bool], error: type[Exception]
) -> None:
    cloud.fault({"job_state": "JOB_STATE_RUNNING"})
    made, begun = submit(), datetime.now(UTC)
    named = f"{made['name']} did not end within timeout=0.5 seconds; its last state was RUNNING"
    words = "." if flags else named  # Airflow has words of its own for some that are skipped
    with pytest.raises(error, match=words):
        wait(made, mode, timeout=0.5, **flags)
    assert datetime.now(UTC) - begun >= timedelta(seconds=0.5)
    (job,) = cloud.book()
    assert job["state"] == "JOB_STATE_RUNNING"
    assert "cancel" not in cloud.requests()
    assert "delete" not in cloud.requests()


@pytest.mark.parametrize("mode", MODES)
def test_a_sensor_logs_the_state_first_and_when_changed(cloud: Cloud, logged: Logged, mode: str) -> None:
    cloud.fault({"job_state": ["JOB_STATE_RUNNING", "JOB_STATE_SUCCEEDED"], "seconds": 1.0})
    made = submit()
    wait(made, mode)
    said = [line for line in logged() if line.startswith(f"The notebook job {made['name']} is ")]
    states = [line.rpartition(" ")[2] for line in said]
    assert states[-1] == "SUCCEEDED."
    if mode == "reschedule":  # each poke is a process of its own
        assert states.count("RUNNING.") > 1
    else:
        assert len(states) == len(set(states)) > 1


@IN_EACH_MODE
def test_a_job_that_is_not_there_fails_the_sensor(cloud: Cloud, brisk: None, mode: str) -> None:
    with pytest.raises(NotFoundError, match=r"99 does not exist.* NBJOBS_EMULATOR_HOST") as missing:
        wait("99", mode, location="us-central1")
    assert cloud.env["NBJOBS_EMULATOR_HOST"] in str(missing.value)
    assert cloud.requests()["get"] == {"404": 5}


@IN_EACH_MODE
def test_a_new_job_may_be_missing_for_a_moment(cloud: Cloud, brisk: None, mode: str) -> None:
    made = submit()
    cloud.fault({"method": "get", "status": 404, "times": 4})
    assert wait(made, mode)["state"] == "JOB_STATE_SUCCEEDED"


@IN_EACH_MODE
def test_a_missing_job_skips_a_sensor_that_never_fails(cloud: Cloud, brisk: None, mode: str) -> None:
    with pytest.raises(AirflowSkipException):
        wait("99", mode, location="us-central1", never_fail=True)


@IN_EACH_MODE
def test_a_failed_look_does_not_soft_fail(cloud: Cloud, mode: str) -> None:
    cloud.fault({"method": "get", "status": 501})
    with pytest.raises(Exception, match="501"):
        wait("99", mode, location="us-central1", soft_fail=True)


@IN_EACH_MODE
@pytest.mark.parametrize("more", [{}, {"never_fail": True}], ids=repr)
def test_a_look_that_fails_silently_is_repeated(cloud: Cloud, mode: str, more: dict[str, bool]) -> None:
    made = submit()
    cloud.fault({"method": "get", "status": 403, "times": 2 if mode == "poke" else 1})
    assert wait(made, mode, silent_fail=True, **more)["state"] == "JOB_STATE_SUCCEEDED"


def test_unnamed_storage_for_results_has_one_remedy(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    made = submit()
    monkeypatch.delenv("STORAGE_EMULATOR_HOST")
    with pytest.raises(AirflowFailException, match="STORAGE_EMULATOR_HOST is not set") as refusal:
        wait(made, "poke")
    assert "of `nbjobs emulator`. To do without them, set unusable_results='omit'" in str(refusal.value)
    assert "account" not in str(refusal.value)


@IN_EACH_MODE
def test_a_bare_id_is_a_job_of_the_location(cloud: Cloud, mode: str) -> None:
    made = submit()
    assert wait(made["job_id"], mode, location="us-central1")["job_id"] == made["job_id"]


@IN_EACH_MODE
def test_the_links_of_the_job_are_the_sensor_s_too(cloud: Cloud, mode: str) -> None:
    how = {"deferrable": True} if mode == "deferrable" else {"mode": mode}
    made = submit()
    run = TaskRun(lambda: NotebookExecutionJobSensor(task_id="wait", job_name=made, poke_interval=0.1, **how))
    with contextlib.suppress(TaskDeferred, AirflowRescheduleException):
        run.execute()
    assert {key for key, address in run.ti.xcoms.items() if key.startswith("_link_") and address} == {
        f"_link_{name}" for name in ("NotebookExecutionJobListLink", "ExecutedNotebookLink")
    }


def test_the_links_name_the_project_of_the_operator(
    cloud: Cloud, connect: Callable[..., dict[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    connect("anonymous")
    monkeypatch.delenv("NBJOBS_EMULATOR_HOST")
    monkeypatch.setenv("AIRFLOW__NBJOBS__ENDPOINT", cloud.url)
    made = submit(project_id="another-project")
    run = TaskRun(lambda: NotebookExecutionJobSensor(task_id="wait", job_name=made, poke_interval=0.1))
    run.execute()
    assert run.ti.xcoms["_link_NotebookExecutionJobListLink"].endswith("project=another-project")


def test_airflow_is_asked_to_write_no_link_again(cloud: Cloud) -> None:
    """It would write an empty XCom for a link that leads nowhere."""
    run = TaskRun(lambda: NotebookExecutionJobSensor(task_id="wait", job_name=submit(), poke_interval=0.1))
    run.execute()
    assert run.operator.operator_extra_links == ()


def test_a_deferred_sensor_trusts_its_own_job_name(cloud: Cloud) -> None:
    cloud.fault({"job_state": "JOB_STATE_RUNNING"})
    mine, other = submit(), submit()
    run = TaskRun(lambda: NotebookExecutionJobSensor(task_id="wait", job_name=mine, deferrable=True, timeout=60))
    deferral = run.defer()
    event = {"v": 1, "job_name": other["name"], "outcome": "done", "state": "JOB_STATE_SUCCEEDED"}
    with pytest.raises(TaskDeferred) as again:
        run.resume(deferral.method_name, {"event": event})
    assert again.value.trigger.job_name == mine["name"]


@pytest.mark.parametrize("starts_when_resumed", [False, True])
def test_a_sensor_that_is_deferred_again_keeps_its_deadline(cloud: Cloud, starts_when_resumed: bool) -> None:
    cloud.fault({"job_state": "JOB_STATE_RUNNING"})
    made = submit()
    run = TaskRun(
        lambda: NotebookExecutionJobSensor(task_id="wait", job_name=made, deferrable=True, timeout=60),
        starts_when_resumed=starts_when_resumed,
    )
    first = run.defer()
    deadline = first.trigger.deadline
    with pytest.raises(TaskDeferred) as second:
        run.resume(
            "execute_complete", {"event": {"v": 1, "job_name": made["name"], "outcome": "done", "deadline": deadline}}
        )
    assert second.value.trigger.deadline == deadline
    assert timedelta(seconds=60) < second.value.timeout <= first.timeout

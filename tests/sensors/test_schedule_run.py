"""The sensor of a schedule's run comes to the same end in each of its modes."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import (
    AirflowFailException,
    AirflowSensorTimeout,
    AirflowSkipException,
    TaskDeferred,
)

from airflow_nbjobs.api.schedule import Schedule
from airflow_nbjobs.emulator import Emulator
from airflow_nbjobs.exceptions import InvalidNotebookJobError, NbjobsError, NotFoundError
from airflow_nbjobs.hooks import NotebookExecutionJobHook
from airflow_nbjobs.operators import CreateNotebookScheduleOperator, RunNotebookScheduleOperator
from airflow_nbjobs.schedule_trigger import NotebookScheduleRunTrigger
from airflow_nbjobs.sensors import NotebookScheduleRunSensor
from tests.operators.test_schedules import SCHEDULE
from tests.support.cloud import Cloud
from tests.support.task_runs import REGION, TaskRun, only_event, restored

try:
    from airflow.sdk.exceptions import AirflowRescheduleException
except ImportError:  # Airflow 3.1
    from airflow.exceptions import AirflowRescheduleException

MODES = ["poke", "reschedule", "deferrable"]
IN_EACH_MODE = pytest.mark.parametrize("mode", MODES)
MONDAY = datetime(2026, 11, 16, tzinfo=UTC)
DAY = timedelta(days=1)


@pytest.fixture
def nbjobs_emulator_session() -> Iterator[Emulator]:
    """Run an emulator for each test, since its clock is set back to a week of November."""
    with Emulator(runner="simulated", seconds=0.0, cleanup_seconds=0.0) as emulator:
        emulator.move_clock(MONDAY)
        yield emulator


def make_schedule(**arguments: Any) -> dict[str, Any]:
    """Create a schedule that runs each day at six."""
    known = {**SCHEDULE, "cron": "0 6 * * *", "location": REGION, **arguments}
    return dict(TaskRun(lambda: CreateNotebookScheduleOperator(task_id="deploy", **known)).execute())


def sensor(schedule: Any, mode: str, day: int | None = 0, **arguments: Any) -> TaskRun:
    """Return a task that waits for the run of a day, counted from the Monday."""
    how = {"deferrable": False, "mode": mode} if mode in MODES[:2] else {"deferrable": True}
    wanted = {"task_id": "wait", "schedule": schedule, "poke_interval": 0.1, "do_xcom_push": False, **how, **arguments}
    run = TaskRun(lambda: NotebookScheduleRunSensor(**wanted))
    if day is not None:
        start = MONDAY + day * DAY
        run.more_context = {"data_interval_start": start, "data_interval_end": start + DAY}
    return run


def wait(schedule: Any, mode: str, day: int | None = 0, **arguments: Any) -> Any:
    """Wait for the run of a day, rescheduled as often as the sensor wants."""
    run = sensor(schedule, mode, day, **arguments)
    begun, more = run.ti.start_date, run.more_context
    while True:
        run.ti.get_first_reschedule_date = lambda _: begun
        try:
            return run.to_its_end()
        except AirflowRescheduleException:
            run = sensor(schedule, mode, day, **arguments)
            run.more_context = more


@IN_EACH_MODE
def test_each_day_has_its_own_run_whenever_it_is_asked_for(cloud: Cloud, mode: str) -> None:
    schedule = make_schedule()
    cloud.move_clock(7 * DAY)
    names = [wait(schedule, mode, day)["name"] for day in range(7)]
    assert names == [job["name"] for job in cloud.book()]
    assert {job["createTime"][:16] for job in cloud.book()} == {f"2026-11-{day}T06:00" for day in range(16, 23)}


@IN_EACH_MODE
def test_the_result_is_that_of_a_create_task(cloud: Cloud, mode: str) -> None:
    schedule = make_schedule()
    cloud.move_clock(DAY)
    result = wait(schedule, mode, do_xcom_push=True)
    assert result["state"] == "JOB_STATE_SUCCEEDED"
    assert {"v", "name", "job_id", "state", "executed_notebook", "notebook_version", "results"} <= result.keys()


@IN_EACH_MODE
@pytest.mark.parametrize("state", ["FAILED", "CANCELLED", "EXPIRED"])
def test_a_run_that_ends_otherwise_fails_for_good(cloud: Cloud, mode: str, state: str) -> None:
    schedule = make_schedule()
    cloud.fault({"job_state": f"JOB_STATE_{state}"})
    cloud.move_clock(DAY)
    with pytest.raises(AirflowFailException, match=f"{state} after"):
        wait(schedule, mode)


@IN_EACH_MODE
@pytest.mark.parametrize("flag", ["soft_fail", "never_fail"])
def test_a_failed_run_skips_a_sensor_that_may_not_fail(cloud: Cloud, mode: str, flag: str) -> None:
    schedule = make_schedule()
    cloud.fault({"job_state": "JOB_STATE_FAILED"})
    cloud.move_clock(DAY)
    with pytest.raises(AirflowSkipException):
        wait(schedule, mode, **{flag: True})


@IN_EACH_MODE
def test_a_schedule_that_missed_a_run_is_told_with_its_state(cloud: Cloud, mode: str) -> None:
    schedule = make_schedule()
    cloud.move_clock(DAY)
    NotebookExecutionJobHook().schedules.pause(schedule["name"])
    cloud.move_clock(2 * DAY)
    said = (
        r"'daily report' did not run between 2026-11-17T00:00:00\+00:00 and 2026-11-18T00:00:00\+00:00 \(or late, "
        r"until 2026-11-18T01:00:00\+00:00\): it created no job then\. It is PAUSED since 2026-11-17T00:00:0.*; its "
        r"last run, due at 2026-11-16T06:00:00\+00:00, was answered 'OK'; it has no next run\. Schedule: projects/"
    )
    with pytest.raises(AirflowFailException, match=said):
        wait(schedule, mode, 1)
    with pytest.raises(AirflowSkipException):
        wait(schedule, mode, 1, soft_fail=True)
    assert wait(schedule, mode, 0)["state"] == "JOB_STATE_SUCCEEDED"


@IN_EACH_MODE
def test_a_repetition_of_a_failed_run_counts(cloud: Cloud, mode: str) -> None:
    schedule = make_schedule()
    cloud.fault({"job_state": "JOB_STATE_FAILED"})
    cloud.move_clock(DAY / 2)
    with pytest.raises(AirflowFailException):
        wait(schedule, mode)
    again = {"task_id": "again", "schedule": schedule, "poll_interval": 0.1, "do_xcom_push": False}
    repeated = TaskRun(lambda: RunNotebookScheduleOperator(**again)).execute()
    assert wait(schedule, mode)["name"] == repeated["name"]


@IN_EACH_MODE
def test_a_run_that_started_late_counts_within_the_grace(cloud: Cloud, mode: str) -> None:
    schedule = make_schedule(cron="30 0 * * *")
    cloud.move_clock(3 * DAY)
    early = {"interval_start": "2026-11-16T12:00:00Z", "interval_end": "{{ '2026-11-17' }}T00:00:00+00:00"}
    late = wait(schedule, mode, None, **early)
    assert late["name"] == cloud.book()[1]["name"]
    with pytest.raises(AirflowFailException, match="did not run"):
        wait(schedule, mode, None, grace=timedelta(minutes=10), **early)


@IN_EACH_MODE
def test_a_run_without_an_interval_says_what_it_needs(cloud: Cloud, mode: str) -> None:
    with pytest.raises(InvalidNotebookJobError, match=r"no data interval.*give interval_start and interval_end"):
        wait("1", mode, None, location=REGION)
    assert cloud.requests() == {}


@IN_EACH_MODE
def test_a_schedule_of_pipelines_is_refused(cloud: Cloud, mode: str) -> None:
    pipeline = {"parent": f"projects/{cloud.project}/locations/{REGION}", "pipelineJob": {"displayName": "p"}}
    known = {"display_name": "pipes", "cron": "0 6 * * *", "max_concurrent_run_count": 1}
    described = Schedule(**known, create_pipeline_job_request=pipeline)
    made = NotebookExecutionJobHook().schedules.create(described, location=REGION)
    with pytest.raises(InvalidNotebookJobError, match=r"'pipes' .* runs pipelines"):
        wait(made.name, mode)


@IN_EACH_MODE
def test_a_schedule_that_is_gone_fails_unless_it_has_run(cloud: Cloud, mode: str) -> None:
    schedule = make_schedule()
    cloud.move_clock(DAY)
    NotebookExecutionJobHook().schedules.delete(schedule["name"])
    assert wait(schedule, mode, 0)["state"] == "JOB_STATE_SUCCEEDED"
    with pytest.raises(NotFoundError, match=r"schedules/\d+ does not exist.*NBJOBS_EMULATOR_HOST"):
        wait(schedule, mode, 1)


def test_a_schedule_of_another_location_is_refused(cloud: Cloud) -> None:
    schedule = make_schedule()
    with pytest.raises(InvalidNotebookJobError, match="is in 'us-central1', and location='europe-west4' is another"):
        wait(schedule, "poke", location="europe-west4")


def around_now(**arguments: Any) -> dict[str, Any]:
    """Return an interval that is over, with a grace that is not."""
    now = datetime.now(UTC)
    interval = {"interval_start": now - DAY, "interval_end": now - timedelta(seconds=1), "grace": 3600.0}
    return {**interval, **arguments}


@pytest.fixture
def today(cloud: Cloud) -> Cloud:
    """Set the emulator's clock to that of the machine."""
    cloud.move_clock(datetime.now(UTC))
    return cloud


@IN_EACH_MODE
def test_a_completed_schedule_is_not_waited_for(today: Cloud, mode: str) -> None:
    schedule = make_schedule(end_time=datetime.now(UTC) + timedelta(minutes=1))
    today.move_clock(timedelta(minutes=2))
    with pytest.raises(AirflowFailException, match=r"did not run .* It is COMPLETED; it has not run yet"):
        wait(schedule, mode, None, **around_now())


@IN_EACH_MODE
def test_a_sensor_times_out_while_the_schedule_has_not_run(today: Cloud, mode: str) -> None:
    schedule = make_schedule()
    said = rf"The run of the schedule {schedule['name']} did not end within timeout=0.5 seconds\."
    with pytest.raises(AirflowSensorTimeout, match=said):
        wait(schedule, mode, None, timeout=0.5, **around_now())
    with pytest.raises(AirflowSkipException):
        wait(schedule, mode, None, timeout=0.5, soft_fail=True, **around_now())


@IN_EACH_MODE
def test_a_sensor_times_out_while_the_run_goes_on(today: Cloud, mode: str) -> None:
    schedule = make_schedule(cron="* * * * *")
    today.fault({"job_state": "JOB_STATE_RUNNING"})
    today.move_clock(timedelta(minutes=1))
    with pytest.raises(AirflowSensorTimeout, match="did not end within timeout=1 seconds; its last state was RUNNING"):
        wait(schedule, mode, None, timeout=1, **around_now())
    assert today.states()[0] == "RUNNING"
    today.clear_faults()


def test_a_deferred_sensor_waits_for_the_job_and_then_for_its_end(today: Cloud) -> None:
    schedule = make_schedule(cron="* * * * *")
    run = sensor(schedule, "deferrable", None, **around_now())
    first = run.defer()
    assert isinstance(first.trigger, NotebookScheduleRunTrigger)
    today.fault({"job_state": ["JOB_STATE_RUNNING", "JOB_STATE_SUCCEEDED"], "seconds": 0.5})
    today.move_clock(timedelta(minutes=1))
    event = asyncio.run(only_event(restored(first)))
    assert (event["v"], event["schedule"], event["outcome"]) == (1, schedule["name"], "done")
    with pytest.raises(TaskDeferred) as second:
        run.resume(first.method_name, {"event": event})
    job = second.value.trigger.job_name
    assert job == today.book()[0]["name"]
    assert second.value.trigger.deadline == first.trigger.deadline
    event = asyncio.run(only_event(restored(second.value)))
    assert run.resume(second.value.method_name, {"event": event})["state"] == "JOB_STATE_SUCCEEDED"


def test_an_event_of_a_refused_trigger_fails_the_sensor(today: Cloud) -> None:
    schedule = make_schedule()
    run = sensor(schedule, "deferrable", None, **around_now())
    deferral = run.defer()
    today.fault({"method": "list", "status": 403})
    event = asyncio.run(only_event(restored(deferral)))
    assert (event["outcome"], event["reason"][:3]) == ("error", "403")
    with pytest.raises(NbjobsError, match="was not found, and the triggerer could not ask the service: 403"):
        run.resume(deferral.method_name, {"event": event})


@pytest.mark.parametrize(
    "event",
    [
        {"v": 2, "schedule": "projects/p/locations/l/schedules/1", "outcome": "done"},
        {"v": 1, "schedule": "projects/p/locations/l/schedules/1"},
        {"v": 1, "schedule": "x", "outcome": "done"},
        {"v": 1, "schedule": None, "outcome": "done"},
        {},
        None,
    ],
)
def test_an_event_that_is_not_understood_is_refused(today: Cloud, event: Any) -> None:
    run = sensor(make_schedule(), "deferrable", None, **around_now())
    deferral = run.defer()
    with pytest.raises(NbjobsError):
        run.resume(deferral.method_name, {"event": event})


def test_a_trigger_keeps_looking_through_an_outage(today: Cloud) -> None:
    schedule = make_schedule(cron="* * * * *")
    run = sensor(schedule, "deferrable", None, **around_now())
    deferral = run.defer()
    today.move_clock(timedelta(minutes=1))
    today.fault({"method": "list", "status": 503, "times": 2})
    assert asyncio.run(only_event(restored(deferral)))["outcome"] == "done"
    assert today.requests()["list"]["503"] == 2


def test_many_pages_are_read_back_to_the_interval(cloud: Cloud) -> None:
    schedule = make_schedule(cron="*/10 * * * *")
    cloud.move_clock(DAY * 3)
    cloud.reset_requests()
    first = wait(schedule, "poke", None, interval_start=MONDAY, interval_end=MONDAY + timedelta(minutes=15))
    assert first["name"] == cloud.book()[0]["name"]
    assert cloud.requests()["list"] == {"200": 5}
    cloud.reset_requests()
    last = wait(schedule, "poke", None, interval_start=MONDAY + 3 * DAY - DAY / 10, interval_end=MONDAY + 4 * DAY)
    assert last["name"] == cloud.book()[-1]["name"]
    assert cloud.requests()["list"] == {"200": 1}


def test_links_are_there_while_the_schedule_has_not_run(today: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    schedule = make_schedule()
    run = sensor(schedule, "deferrable", None, **around_now())
    assert "NotebookScheduleLink" in [type(link).__name__ for link in run.operator.operator_extra_links]
    run.defer()
    assert not [key for key in run.ti.xcoms if key == "_link_NotebookScheduleLink"]  # the emulator has no page for it


def test_a_wrong_grace_is_refused_when_the_dag_is_parsed() -> None:
    with pytest.raises(InvalidNotebookJobError, match=r"Task 'wait'.*grace=-5 is not a duration"):
        sensor("1", "poke", location=REGION, grace=-5)

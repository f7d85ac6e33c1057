"""Runs of schedules in a real Airflow: a week that is backfilled, a run that is missed, minutes of a moved clock."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from airflow_nbjobs.api import calls
from airflow_nbjobs.api.client import Client
from airflow_nbjobs.api.endpoint import Endpoint
from airflow_nbjobs.api.schedule import Schedule
from airflow_nbjobs.emulator import Emulator
from demo.airflow_processes import LocalAirflow
from demo.airflow_rest import Run
from tests.system.conftest import RETRIES
from tests.system.test_a_real_airflow import nobody_else_writing

PARENT = "projects/local/locations/us-central1"
MONDAY = datetime(2026, 11, 16, tzinfo=UTC)
DAYS = [f"2026-11-{day}" for day in range(16, 23)]
MISSED = "2026-11-19"
DAGS = """
import os
from datetime import datetime, timezone

from airflow.sdk import DAG
from airflow_nbjobs.sensors import NotebookScheduleRunSensor

BEGIN = datetime(2026, 1, 1, tzinfo=timezone.utc)
with DAG("after_the_days", schedule="@daily", start_date=BEGIN, catchup=False, is_paused_upon_creation=True):
    NotebookScheduleRunSensor(
        task_id="wait", schedule=os.environ["DAILY"], poke_interval=1, timeout=300, deferrable=True
    )
with DAG("after_a_minute", schedule=None):
    NotebookScheduleRunSensor(
        task_id="wait",
        schedule=os.environ["MINUTELY"],
        interval_start="{{ dag_run.conf['start'] }}",
        interval_end="{{ dag_run.conf['end'] }}",
        poke_interval=1,
        timeout=300,
        deferrable=True,
    )
"""


@pytest.fixture(scope="module")
def far() -> Iterator[Emulator]:
    """Run an emulator that starts no kernels, set back to a Monday of November."""
    with Emulator(runner="simulated", seconds=0.5, cleanup_seconds=0.0) as emulator:
        emulator.move_clock(MONDAY)
        yield emulator


@pytest.fixture(scope="module")
def client(far: Emulator) -> Iterator[Client]:
    """Connect to the emulator."""
    with Client(Endpoint.of_emulator(far.url), None) as client:
        yield client


def create(client: Client, name: str, cron: str) -> str:
    """Create a schedule and return its name."""
    job = {
        "displayName": name,
        "gcsNotebookSource": {"uri": "gs://notebooks/report.ipynb"},
        "customEnvironmentSpec": {},
        "serviceAccount": "runner@local.iam.gserviceaccount.com",
        "gcsOutputUri": "gs://results",
    }
    request = {"parent": PARENT, "notebookExecutionJob": job}
    wire = {"displayName": name, "cron": cron, "maxConcurrentRunCount": "1"}
    schedule = Schedule.from_wire({**wire, "createNotebookExecutionJobRequest": request})
    return str(client.send(calls.create_schedule(PARENT, schedule)).name)


@pytest.fixture(scope="module")
def schedules(far: Emulator, client: Client) -> dict[str, str]:
    """Create a schedule that has run each day of a week but one, and one that runs each minute from now on."""
    daily = create(client, "daily", "0 6 * * *")
    far.move_clock(timedelta(days=3))
    client.send(calls.pause_schedule(daily))
    far.move_clock(timedelta(days=1))
    client.send(calls.resume_schedule(daily))
    far.move_clock(timedelta(days=3))
    client.send(calls.pause_schedule(daily))
    # The moved clock is ahead of Airflow's: an interval of its future is waited for.
    far.move_clock(datetime.now(UTC).replace(second=0, microsecond=0) + timedelta(hours=1))
    return {"DAILY": daily, "MINUTELY": create(client, "minutely", "* * * * *")}


@pytest.fixture(scope="module")
def airflow(far: Emulator, schedules: dict[str, str], start_airflow: Any) -> Iterator[LocalAirflow]:
    """Start an Airflow whose cron expressions have data intervals."""
    intervals = {"AIRFLOW__SCHEDULER__CREATE_CRON_DATA_INTERVALS": "True"}
    with start_airflow(DAGS, {**far.env, **schedules, **intervals, **RETRIES}, "after_a_minute") as running:
        yield running


def jobs_of(far: Emulator, name: str) -> list[dict[str, Any]]:
    """Return the jobs of a schedule, the oldest first."""
    return [job for job in far.book("local") if job["displayName"] == name]


def backfilled(airflow: LocalAirflow) -> dict[str, Run]:
    """Return the runs of the backfill by their days."""
    found = airflow.rest.call("GET", "/dags/after_the_days/dagRuns", params={"run_type": "backfill"})["dag_runs"]
    return {run["logical_date"][:10]: Run("after_the_days", run["dag_run_id"]) for run in found}


def states(airflow: LocalAirflow) -> dict[str, str]:
    """Return the states of these runs."""
    return {day: airflow.rest.run_state(run) for day, run in backfilled(airflow).items()}


def test_a_backfilled_week_finds_the_run_of_each_day(airflow: LocalAirflow, far: Emulator) -> None:
    with nobody_else_writing(airflow):
        airflow.command("dags", "unpause", "after_the_days")
        week = ["--from-date", DAYS[0], "--to-date", DAYS[-1]]
        airflow.command("backfill", "create", "--dag-id", "after_the_days", *week)
    airflow.wait(
        lambda: len(found := states(airflow)) == len(DAYS) and set(found.values()) <= {"success", "failed"},
        300,
        "the backfill to be over",
    )
    airflow.rest.call("PATCH", "/dags/after_the_days", json={"is_paused": True})

    assert states(airflow) == {day: "failed" if day == MISSED else "success" for day in DAYS}
    runs = backfilled(airflow)
    found = {day: airflow.rest.xcom(run, "wait")["name"] for day, run in runs.items() if day != MISSED}
    assert found == {job["createTime"][:10]: job["name"] for job in jobs_of(far, "daily")}
    tried = airflow.rest.task(runs[MISSED], "wait")["try_number"]
    said = str(airflow.rest.call("GET", f"{runs[MISSED].path}/taskInstances/wait/logs/{tried}"))
    assert "The schedule 'daily' did not run between 2026-11-19T00:00:00+00:00 and 2026-11-20T00:00:00+00:00" in said
    assert "It is PAUSED since" in said


def wait_for_state(airflow: LocalAirflow, run: Run, *wanted: str) -> str:
    """Wait until the sensor is in one of the states, and return it."""

    def look() -> str | None:
        state = airflow.rest.task(run, "wait")["state"]
        return state if state in wanted else None

    return str(airflow.wait(look, 120, f"the sensor to be {' or '.join(wanted)}"))


def test_a_sensor_waits_for_each_minute_of_a_moved_clock(airflow: LocalAirflow, far: Emulator) -> None:
    begin = datetime.now(UTC).replace(second=0, microsecond=0) + timedelta(hours=2)
    far.move_clock(begin)
    seen = []
    for minute in range(3):
        due = begin + timedelta(minutes=5 * (minute + 1))
        far.move_clock(due - timedelta(seconds=30))
        before = len(jobs_of(far, "minutely"))
        conf = {"start": (due - timedelta(seconds=20)).isoformat(), "end": (due + timedelta(seconds=59)).isoformat()}
        run = airflow.rest.trigger("after_a_minute", conf)
        assert wait_for_state(airflow, run, "deferred", "success", "failed") == "deferred"
        far.move_clock(due + timedelta(seconds=1))
        assert wait_for_state(airflow, run, "success", "failed") == "success", airflow.rest.log(run, "wait")
        found = airflow.rest.xcom(run, "wait")
        created = jobs_of(far, "minutely")[before:]
        assert found["name"] in {job["name"] for job in created}
        seen.append(found["name"])
    assert len(set(seen)) == 3

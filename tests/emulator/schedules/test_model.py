"""What schedules create when their clock moves."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from airflow_nbjobs.emulator import Emulator
from tests.support.emulator_api import Api
from tests.support.waiting import eventually

BEGIN = datetime(2026, 11, 16, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


@pytest.fixture
def far(tmp_path: Path) -> Iterator[Emulator]:
    """Run an emulator whose clock was set to the begin of a week."""
    with new_emulator(tmp_path) as emulator:
        emulator.move_clock(BEGIN)
        yield emulator


def new_emulator(data: Path, **options: Any) -> Emulator:
    """Return an emulator that starts no kernels."""
    return Emulator(runner="simulated", seconds=0.0, cleanup_seconds=0.0, data=data, **options)


@pytest.fixture
def api(far: Emulator) -> Iterator[Api]:
    """Return a client of the moved emulator."""
    with Api(far, "clockwork") as api:
        yield api


def schedule(api: Api, **fields: Any) -> dict[str, Any]:
    """Create a schedule, each day at six unless told otherwise."""
    parent = api.jobs.rpartition("/")[0]
    request = {"parent": parent, "notebookExecutionJob": api.job()}
    known = {"displayName": "s", "cron": "0 6 * * *", "maxConcurrentRunCount": "1"}
    body = {**known, "createNotebookExecutionJobRequest": request, **fields}
    answer = api.http.post(f"{parent}/schedules", json={key: value for key, value in body.items() if value is not None})
    assert answer.status_code == 200, answer.text
    return answer.json()


def read(api: Api, made: dict[str, Any]) -> dict[str, Any]:
    """Read a schedule again."""
    return api.get(made["name"])


def created(api: Api) -> list[str]:
    """Return when each job was created, to the minute, the oldest first."""
    return [job["createTime"][5:16] for job in api.emulator.book(api.project)]


def test_a_run_is_created_at_its_time_by_the_clock(api, far):
    made = schedule(api)
    far.move_clock(timedelta(days=3))
    assert created(api) == ["11-16T06:00", "11-17T06:00", "11-18T06:00"]
    seen = read(api, made)
    assert (seen["startedRunCount"], seen["nextRunTime"]) == ("3", "2026-11-19T06:00:00Z")
    assert seen["lastScheduledRunResponse"] == {"scheduledRunTime": "2026-11-18T06:00:00Z", "runResponse": "OK"}


def test_the_clock_can_be_moved_to_the_very_time_of_a_run(api, far):
    schedule(api)
    far.move_clock(datetime(2026, 11, 16, 6, tzinfo=UTC))
    assert created(api) == ["11-16T06:00"]
    assert clock(far).json()["time"].startswith("2026-11-16T06:00:0")


def test_the_clock_creates_runs_without_being_moved(api, far):
    far.move_clock(datetime(2026, 11, 16, 5, 59, 59, 500_000, UTC))
    schedule(api)
    assert created(api) == []
    eventually(lambda: created(api) == ["11-16T06:00"], within_seconds=30)


@pytest.mark.parametrize(
    ("fields", "times", "state"),
    [
        ({"startTime": "2026-11-17T06:00:00Z"}, ["11-17T06:00", "11-18T06:00"], "ACTIVE"),
        ({"startTime": "2026-11-17T06:00:01Z"}, ["11-18T06:00"], "ACTIVE"),
        ({"endTime": "2026-11-17T06:00:00Z"}, ["11-16T06:00", "11-17T06:00"], "COMPLETED"),
        ({"endTime": "2026-11-17T05:59:00Z"}, ["11-16T06:00"], "COMPLETED"),
        ({"maxRunCount": "2"}, ["11-16T06:00", "11-17T06:00"], "COMPLETED"),
    ],
)
def test_runs_are_between_start_and_end_and_not_too_many(api, far, fields, times, state):
    made = schedule(api, **fields)
    far.move_clock(timedelta(days=3))
    assert created(api) == times
    seen = read(api, made)
    assert (seen["state"], "nextRunTime" in seen) == (state, state == "ACTIVE")


def test_a_completed_schedule_is_neither_paused_resumed_nor_updated(api, far):
    made = schedule(api, maxRunCount="1")
    far.move_clock(timedelta(days=1))
    calls = [
        api.http.post(f"{made['name']}:pause"),
        api.http.post(f"{made['name']}:resume"),
        api.http.patch(made["name"], json={"displayName": "x"}, params={"updateMask": "displayName"}),
    ]
    assert [call.json()["error"]["status"] for call in calls] == ["FAILED_PRECONDITION"] * 3


@pytest.mark.parametrize(
    ("catch_up", "times"),
    [
        (False, ["11-16T06:00", "11-20T06:00"]),
        (True, ["11-16T06:00", "11-20T00:00", "11-20T00:00", "11-20T00:00", "11-20T06:00"]),
    ],
)
def test_missed_runs_are_made_up_for_if_asked(api, far, catch_up, times):
    made = schedule(api)
    far.move_clock(timedelta(days=1))
    api.http.post(f"{made['name']}:pause")
    far.move_clock(timedelta(days=3))
    assert created(api) == times[:1]
    api.http.post(f"{made['name']}:resume", json={"catchUp": catch_up})
    far.move_clock(timedelta(hours=12))
    assert created(api) == times


def test_a_patch_skips_what_was_due_before_it(api, far):
    made = schedule(api)
    far.move_clock(timedelta(hours=1))
    changed = {"cron": "TZ=Europe/Berlin 30 5 * * *"}
    answer = api.http.patch(made["name"], json=changed, params={"updateMask": "cron"})
    assert answer.json()["nextRunTime"] == "2026-11-16T04:30:00Z"
    far.move_clock(timedelta(days=1))
    assert created(api) == ["11-16T04:30"]


def test_a_run_without_its_template_has_no_job_and_says_why(tmp_path):
    with new_emulator(tmp_path, templates=["1"]) as emulator, Api(emulator, "clockwork") as api:
        emulator.move_clock(BEGIN)
        template = f"{api.jobs.rpartition('/')[0]}/notebookRuntimeTemplates/2"
        job = api.job(customEnvironmentSpec=None, notebookRuntimeTemplateResourceName=template)
        request = {"parent": api.jobs.rpartition("/")[0], "notebookExecutionJob": job}
        made = schedule(api, createNotebookExecutionJobRequest=request)
        emulator.move_clock(timedelta(days=1))
        assert created(api) == []
        assert "2 does not exist" in read(api, made)["lastScheduledRunResponse"]["runResponse"]


def test_a_schedule_of_pipelines_is_kept_and_runs_nothing(api, far):
    parent = api.jobs.rpartition("/")[0]
    pipeline = {"parent": parent, "pipelineJob": {"displayName": "p"}}
    made = schedule(api, createNotebookExecutionJobRequest=None, createPipelineJobRequest=pipeline)
    far.move_clock(timedelta(days=1))
    assert created(api) == []
    assert read(api, made)["lastScheduledRunResponse"]["runResponse"] == "The emulator runs no pipelines."


def test_schedules_outlive_the_emulator_and_skip_what_it_missed(tmp_path):
    with new_emulator(tmp_path) as emulator, Api(emulator, "clockwork") as api:
        made = schedule(api, cron="* * * * *", maxRunCount="100")
    with new_emulator(tmp_path) as emulator, Api(emulator, "clockwork") as api:
        assert read(api, made)["state"] == "ACTIVE"
        before = len(created(api))
        emulator.move_clock(2 * MINUTE)
        assert len(created(api)) in {before + 2, before + 3}  # the machine's clock goes on, too


def clock(emulator: Emulator, asked: Any = None) -> httpx.Response:
    """Read or move the clock over HTTP."""
    url = f"{emulator.url}/_emulator/clock"
    return httpx.get(url, trust_env=False) if asked is None else httpx.post(url, json=asked, trust_env=False)


def test_the_clock_is_read_and_moved_over_http(far):
    assert clock(far).json()["time"].startswith("2026-11-16T00:0")
    assert clock(far, {"advance_seconds": 3600}).json()["time"].startswith("2026-11-16T01:0")
    assert clock(far, {"time": "2026-11-17T08:00:00+02:00"}).json()["time"].startswith("2026-11-17T06:0")


@pytest.mark.parametrize(
    "asked",
    [
        {},
        [],
        {"time": 5},
        {"time": "tomorrow"},
        {"time": "2026-11-17T08:00:00Z", "advance_seconds": 1},
        {"advance_seconds": -1},
        {"advance_seconds": "1"},
        {"advance_seconds": True},
    ],
)
def test_a_malformed_move_of_the_clock_is_refused(far, asked):
    answer = clock(far, asked)
    assert (answer.status_code, answer.json()["error"]["status"]) == (400, "INVALID_ARGUMENT")


def test_the_clock_does_not_go_back_behind_a_job(api, far):
    api.create()
    with pytest.raises(ValueError, match="does not go back"):
        far.move_clock(BEGIN)
    assert clock(far, {"time": "2026-11-16T00:00:00Z"}).status_code == 400


def set_cron(folder: Path, made: dict[str, Any], cron: str) -> None:
    """Change the cron expression of a stored schedule, unchecked."""
    sql = "UPDATE resources SET wire = json_set(wire, '$.cron', ?) WHERE id = ?"
    with closing(sqlite3.connect(folder / "resources.sqlite")) as database, database:
        database.execute(sql, (cron, made["name"].rpartition("/")[2]))


def test_a_failing_schedule_stops_neither_others_nor_later_runs(api, far, tmp_path, caplog):
    broken, _ = schedule(api), schedule(api)
    set_cron(tmp_path, broken, "broken")
    with pytest.raises(ExceptionGroup, match="These schedules failed: "):
        far.move_clock(datetime(2026, 11, 16, 6, tzinfo=UTC))
    assert created(api) == ["11-16T06:00"]
    eventually(lambda: "Failed to start the runs that are due; trying again in one second" in caplog.text)
    set_cron(tmp_path, broken, "0 6 * * *")
    eventually(lambda: created(api) == ["11-16T06:00"] * 2)

"""Schedules, as Google's ``ScheduleServiceClient`` and our own clients find them.

Those whose names are in ``docs/assumptions.md`` answer a question that only the real service can.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from airflow_nbjobs.emulator import Emulator
from tests.contract.resource_clients import CLIENTS, ResourceClient
from tests.contract.scenarios import refused
from tests.contract.world import LIVE, World

MINUTE = 60.0


@pytest.fixture(scope="module")
def nbjobs_emulator_session() -> Iterator[Emulator]:
    """Run an emulator of this module's own: its clock is moved."""
    with Emulator(runner="simulated", seconds=0.1, cleanup_seconds=0.0) as emulator:
        yield emulator


@pytest.fixture(params=CLIENTS)
def client(request: pytest.FixtureRequest, world: World) -> Iterator[ResourceClient]:
    """Connect a client."""
    client = CLIENTS[request.param](world.endpoint, world.credentials)
    yield client
    client.close()


def described(world: World, **fields: Any) -> dict[str, Any]:
    """Describe a schedule whose next run is months away; a field that is None is left out."""
    schedule = {
        "displayName": f"{world.prefix}-a",
        "cron": "TZ=Europe/Berlin 0 6 1 1 *",
        "maxConcurrentRunCount": "1",
        "createNotebookExecutionJobRequest": {"parent": world.parent, "notebookExecutionJob": world.job()},
        **fields,
    }
    return {key: value for key, value in schedule.items() if value is not None}


@pytest.fixture
def make(client: ResourceClient, world: World) -> Iterator[Callable[..., dict[str, Any]]]:
    """Create schedules, which are deleted afterwards."""
    made: list[str] = []

    def create(**fields: Any) -> dict[str, Any]:
        schedule = client.create_schedule(world.parent, described(world, **fields))
        made.append(schedule["name"])
        return schedule

    yield create
    left = [schedule["name"] for schedule in client.list(collection(world), page_size=100).get("schedules", [])]
    for name in made:
        if name in left:
            client.delete(name)


def collection(world: World) -> str:
    """Return the collection of the world's schedules."""
    return f"{world.parent}/schedules"


def jobs_of(world: World, schedule: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the jobs that a schedule has created, the oldest first."""
    client = CLIENTS["sync"](world.endpoint, world.credentials)
    found = client.client.list(world.parent, where=f'schedule="{schedule["name"]}"', order_by="create_time")
    client.close()
    return found.get("notebookExecutionJobs", [])


def moment(text: str) -> datetime:
    """Read a time of the service."""
    return datetime.fromisoformat(re.sub(r"(\.\d{6})\d+", r"\1", text))


def test_a_schedule_is_active_and_knows_its_next_run(client, world, make):
    made = make()
    pattern = rf"projects/\d+/locations/{world.location}/schedules/\d{{15,20}}"
    assert re.fullmatch(pattern, made["name"])
    assert made["state"] == "ACTIVE"
    next_run = moment(made["nextRunTime"])
    assert (next_run.month, next_run.day, next_run.hour) == (1, 1, 5)  # six o'clock in Berlin
    assert client.get(made["name"]) == made
    sent = described(world)["createNotebookExecutionJobRequest"]["notebookExecutionJob"]
    kept = made["createNotebookExecutionJobRequest"]["notebookExecutionJob"]
    assert {key: kept[key] for key in sent} == sent


def test_the_projects_id_and_its_number_name_the_same_schedule(client, world, make):
    name = make()["name"]
    assert client.get(f"{collection(world)}/{name.rpartition('/')[2]}")["name"] == name


def test_a_run_creates_a_job_under_the_schedules_name(client, world, make):
    made = make(cron="* * * * *", maxRunCount="1")
    world.pass_time(MINUTE)
    seen = world.until(lambda: client.get(made["name"]), lambda schedule: schedule["state"] == "COMPLETED")
    assert seen["startedRunCount"] == "1"
    assert "nextRunTime" not in seen
    response = seen["lastScheduledRunResponse"]
    assert response["runResponse"] == "OK"
    (job,) = jobs_of(world, made)
    assert job["scheduleResourceName"] == made["name"]
    assert job["displayName"] == f"{world.prefix}-"
    late = moment(job["createTime"]) - moment(response["scheduledRunTime"])
    assert timedelta(0) <= late < timedelta(minutes=5)


def test_ok_says_that_a_run_was_launched_and_not_that_it_succeeded(client, world, make):
    # The emulator of this module executes nothing.
    job = world.job(code="1 / 0", **({} if LIVE in os.environ else {"executionTimeout": "0.010s"}))
    request = {"parent": world.parent, "notebookExecutionJob": job}
    made = make(cron="* * * * *", maxRunCount="1", createNotebookExecutionJobRequest=request)
    world.pass_time(MINUTE)
    ended = world.until(lambda: jobs_of(world, made), lambda jobs: jobs and jobs[0]["jobState"] == "JOB_STATE_FAILED")
    assert len(ended) == 1
    assert client.get(made["name"])["lastScheduledRunResponse"]["runResponse"] == "OK"


def test_a_paused_schedule_runs_nothing_until_it_is_resumed(client, world, make):
    made = make(cron="0 0 * * *")
    client.pause(made["name"])
    paused = client.get(made["name"])
    assert paused["state"] == "PAUSED"
    assert "nextRunTime" not in paused
    assert paused["lastPauseTime"] >= made["createTime"]
    client.resume(made["name"])
    resumed = client.get(made["name"])
    assert (resumed["state"], "catchUp" in resumed) == ("ACTIVE", False)
    assert resumed["lastResumeTime"] >= paused["lastPauseTime"]
    assert moment(resumed["nextRunTime"]) > moment(resumed["lastResumeTime"])
    client.pause(made["name"])
    client.resume(made["name"], catch_up=True)
    assert client.get(made["name"])["catchUp"] is True


def test_only_an_active_schedule_is_paused_and_a_paused_one_resumed(client, world, make):
    name = make()["name"]
    refused("FAILED_PRECONDITION", lambda: client.resume(name))
    client.pause(name)
    refused("FAILED_PRECONDITION", lambda: client.pause(name))


def test_a_patch_changes_the_fields_of_its_mask_only(client, world, make):
    made = make(maxRunCount="5")
    new = {"cron": "0 7 1 1 *", "displayName": "not this", "allowQueueing": True, "maxRunCount": "5"}
    changed = {"name": made["name"], **new}
    patched = client.patch(changed, ["cron", "allow_queueing", "max_run_count"])
    assert (patched["cron"], patched["displayName"]) == ("0 7 1 1 *", made["displayName"])
    assert (patched["allowQueueing"], patched["maxRunCount"]) == (True, "5")
    assert moment(patched["nextRunTime"]).hour == 7
    assert client.get(made["name"]) == patched


def test_a_patch_cannot_change_what_a_schedule_runs(client, world, make):
    made = make()
    changed = {"name": made["name"], **described(world)}
    refused("INVALID_ARGUMENT", lambda: client.patch(changed, ["create_notebook_execution_job_request"]))


def test_a_deleted_schedule_is_gone_and_its_jobs_stay(client, world, make):
    made = make(cron="* * * * *", maxRunCount="1")
    world.pass_time(MINUTE)
    world.until(lambda: jobs_of(world, made), bool)
    operation = client.delete(made["name"])
    assert operation["metadata"]["@type"].endswith("DeleteOperationMetadata")
    done = world.until(lambda: client.get_operation(operation["name"]), lambda seen: seen.get("done"))
    assert done["response"]["@type"].endswith("google.protobuf.Empty")
    refused("NOT_FOUND", lambda: client.get(made["name"]))
    refused("NOT_FOUND", lambda: client.delete(made["name"]))
    refused("NOT_FOUND", lambda: client.pause(made["name"]))
    assert len(jobs_of(world, made)) == 1


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('display_name="{p}-a"', "a"),
        ('displayName!="{p}-a" AND display_name:"{p}-*"', "bc"),
        ('display_name:"{p}-*" NOT state="PAUSED"', "ab"),
        ('display_name:"{p}-*" AND (state="PAUSED" OR display_name="{p}-a")', "ac"),
        ('display_name:"{p}-*" AND create_notebook_execution_job_request:*', "abc"),
        ('display_name:"{p}-*" AND create_pipeline_job_request:*', ""),
        ('display_name:"{p}-*" AND end_time:*', "b"),
        ('display_name:"{p}-*" AND create_time>"2021-05-18T00:00:00Z"', "abc"),
        ('display_name:"{p}-*" AND next_run_time<"2021-05-18T00:00:00Z"', ""),
    ],
)
def test_a_filter_finds_the_schedules_it_describes(client, world, make, text, found):
    make()
    make(displayName=f"{world.prefix}-b", endTime="2090-01-01T00:00:00Z")
    client.pause(make(displayName=f"{world.prefix}-c")["name"])
    listed = client.list(collection(world), where=text.format(p=world.prefix), order_by="create_time")
    assert "".join(schedule["displayName"][-1] for schedule in listed.get("schedules", [])) == found


@pytest.mark.parametrize("text", ['cron="x"', 'display_name>"a"', 'state="A', "display_name", 'create_time>"today"'])
def test_a_filter_beyond_the_documented_ones_is_refused(client, world, text):
    refused("INVALID_ARGUMENT", lambda: client.list(collection(world), where=text))


def test_pages_show_each_schedule_once(client, world, make):
    made = [make(displayName=f"{world.prefix}-{number}")["name"] for number in range(3)]
    wanted = {"where": f'display_name:"{world.prefix}-*"', "page_size": 2}
    first = client.list(collection(world), **wanted)
    late = make(displayName=f"{world.prefix}-late")["name"]
    second = client.list(collection(world), **wanted, page_token=first["nextPageToken"])
    assert [item["name"] for page in (first, second) for item in page["schedules"]] == made[::-1]
    assert "nextPageToken" not in second
    assert client.list(collection(world), **wanted)["schedules"][0]["name"] == late
    refused("INVALID_ARGUMENT", lambda: client.list(collection(world), page_token=first["nextPageToken"]))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("displayName", None),
        ("displayName", "x" * 129),
        ("cron", None),
        ("cron", "0 6 * *"),
        ("cron", "0 25 * * *"),
        ("cron", "TZ=Europe/Nowhere 0 6 * * *"),
        ("maxConcurrentRunCount", None),
        ("endTime", "2021-05-18T00:00:00Z"),
        ("createNotebookExecutionJobRequest", None),
    ],
)
def test_a_schedule_with_a_bad_field_is_refused(client, world, field, value):
    schedule = described(world, **{field: value})
    refused("INVALID_ARGUMENT", lambda: client.create_schedule(world.parent, schedule))


@pytest.mark.parametrize("more", [{"parent": ""}, {"notebookExecutionJobId": "mine"}, {"notebookExecutionJob": {}}])
def test_a_schedule_with_a_bad_request_is_refused(client, world, more):
    request = {"parent": world.parent, "notebookExecutionJob": world.job(), **more}
    schedule = described(world, createNotebookExecutionJobRequest=request)
    refused("INVALID_ARGUMENT", lambda: client.create_schedule(world.parent, schedule))


def test_a_schedule_that_never_was_is_not_found(client, world):
    refused("NOT_FOUND", lambda: client.get(f"{collection(world)}/1"))


def test_google_s_future_of_a_delete_ends(world):
    client = CLIENTS["google"](world.endpoint, world.credentials)
    made = client.create_schedule(world.parent, described(world))
    assert client.schedules.delete_schedule(name=made["name"]).result(timeout=world.seconds) is not None
    client.close()


def test_the_test_s_clock_is_the_service_s(client, world, make):
    before = moment(make()["createTime"])
    world.pass_time(3600.0)
    after = moment(make(displayName="later")["createTime"])
    assert after > before
    assert before > datetime(2026, 1, 1, tzinfo=UTC)

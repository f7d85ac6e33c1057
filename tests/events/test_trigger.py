"""The trigger in Airflow's runner: which jobs become events, and each of them once."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

pytest.importorskip("airflow.triggers.shared_stream", reason="watchers of assets have a state since Airflow 3.3")

from airflow_nbjobs.events import trigger
from tests.support.crowd import LOCATION, Service, event, lines_of_tasks
from tests.support.crowd import trigger as waiting_trigger
from tests.support.waiting import until
from tests.support.watchers import Triggerer, looks, triggerer


async def watching(service: Service, running: Triggerer, **arguments: Any) -> None:
    """Start a watcher, and wait until it has begun."""
    running.start(**arguments)
    await looks(service)(3)


def job(service: Service, name: str, **fields: Any) -> dict[str, Any]:
    return service.create(1, displayName=name, **fields)[0]


async def test_the_event_says_what_is_known_of_the_job(service: Service, database: dict[str, Any]) -> None:
    made = job(service, "report-1", labels={"team": "red"})
    async with triggerer() as running:
        await watching(service, running)
        service.succeed(made)
        await running.names(1)
        (told,) = running.events
    now = service.get(made["name"])
    assert told == {
        "v": 1,
        "name": made["name"],
        "job_id": made["name"].rpartition("/")[2],
        "display_name": "report-1",
        "state": "JOB_STATE_SUCCEEDED",
        "created_at": told["created_at"],
        "ended_at": told["ended_at"],
        "executed_notebook": f"gs://results/runs/{told['job_id']}/report.ipynb",
        "notebook_version": None,
        "schedule": None,
        "labels": {"team": "red"},
        "reason": None,
    }
    for key, field in (("created_at", "createTime"), ("ended_at", "updateTime")):
        assert datetime.fromisoformat(told[key]) == datetime.fromisoformat(now[field])


async def test_jobs_that_end_together_are_reported_one_by_one_and_once(
    service: Service, database: dict[str, Any]
) -> None:
    made = [job(service, f"report-{number}") for number in range(5)]
    async with triggerer() as running:
        await watching(service, running)
        for each in made:
            service.succeed(each)
        await running.names(5)
        await looks(service)(3)
        assert await running.names(5) == [each["displayName"] for each in made]


async def test_what_ended_before_the_watcher_is_not_reported(service: Service, database: dict[str, Any]) -> None:
    earlier, later = job(service, "earlier"), job(service, "later")
    service.succeed(earlier)
    async with triggerer() as running:
        await watching(service, running)
        service.succeed(later)
        assert await running.names(1) == ["later"]


async def test_the_first_job_of_an_empty_project_is_reported(service: Service, database: dict[str, Any]) -> None:
    async with triggerer() as running:
        await watching(service, running)
        service.succeed(job(service, "first"))
        assert await running.names(1) == ["first"]


async def test_a_restarted_watcher_reports_what_ended_meanwhile_once(
    service: Service, database: dict[str, Any]
) -> None:
    made = [job(service, f"report-{number}") for number in range(3)]
    others = service.create(120)  # more than a page
    async with triggerer() as first:
        await watching(service, first)
        service.succeed(made[0])
        assert await first.names(1) == ["report-0"]
    service.succeed(made[1])
    service.end(others)
    service.succeed(made[2])
    for ended in (["report-1", "report-2"], []):
        async with triggerer() as again:
            await watching(service, again)
            assert await again.names(len(ended)) == ended


async def test_an_event_that_airflow_did_not_store_is_sent_again(service: Service, database: dict[str, Any]) -> None:
    made = job(service, "report")
    async with triggerer() as killed:
        killed.is_storing = False
        await watching(service, killed)
        service.succeed(made)
        await until(lambda: killed.waiting)
        await looks(service)(3)
        assert killed.waiting == 1
        assert killed.events == []
    async with triggerer() as again:
        await watching(service, again)
        assert await again.names(1) == ["report"]


async def test_what_another_triggerer_reported_is_left_out(service: Service, database: dict[str, Any]) -> None:
    """A triggerer that stalled, and whose watchers another one has taken over, goes on for a moment."""
    made, other = job(service, "reported"), job(service, "other")
    async with triggerer() as stalled:
        await watching(service, stalled)
        (key,) = database
        database[key] = {**database[key], "jobs": {made["name"].rpartition("/")[2]: 0.0}}
        service.succeed(made)
        service.succeed(other)
        assert await stalled.names(1) == ["other"]


SCHEDULE = f"projects/anything/locations/{LOCATION}/schedules/17"


@pytest.mark.parametrize(
    ("asked", "wanted"),
    [
        ({}, ["plain", "report-red", "report-blue", "scheduled"]),
        ({"display_name": "report-.*"}, ["report-red", "report-blue"]),
        ({"display_name": "report"}, []),
        ({"labels": {"team": "red"}}, ["report-red"]),
        ({"labels": {"team": "red", "tier": "1"}}, []),
        ({"schedule": SCHEDULE}, ["scheduled"]),
        ({"schedule": "17"}, ["scheduled"]),
        ({"schedule": "18"}, []),
        ({"states": ["CANCELLED", "JOB_STATE_FAILED"]}, ["cancelled"]),
        ({"states": "CANCELLED", "labels": {"team": "red"}}, []),
        ({"display_name": "report-.*", "labels": {"team": "blue"}}, ["report-blue"]),
    ],
    ids=str,
)
async def test_only_jobs_that_have_all_that_is_asked_are_reported(
    service: Service, database: dict[str, Any], asked: dict[str, Any], wanted: list[str]
) -> None:
    made = [
        job(service, "plain"),
        job(service, "report-red", labels={"team": "red"}),
        job(service, "report-blue", labels={"team": "blue"}),
        job(service, "scheduled", scheduleResourceName=SCHEDULE.replace("anything", service.project)),
    ]
    cancelled = job(service, "cancelled")
    async with triggerer() as running:
        await watching(service, running, **asked)
        for each in made:
            service.succeed(each)
        service.end([cancelled])
        await looks(service)(3)
        assert await running.names(len(wanted)) == wanted


async def test_watchers_share_their_lists_with_each_other_and_with_tasks(
    service: Service, database: dict[str, Any]
) -> None:
    made = [job(service, f"report-{number}") for number in range(20)]
    async with triggerer() as running:
        tasks = [asyncio.create_task(event(waiting_trigger(each, poll_interval=4.0))) for each in made]
        for number in range(20):
            running.start(assets=(f"asset-{number}",), display_name=f"report-{number}", poll_interval=4.0)
        await looks(service)(5)
        service.asked()
        await looks(service)(1)
        await asyncio.sleep(1.0)
        asked = service.asked()
        for each in made:
            service.succeed(each)
        names = await running.names(20)
        assert [state for _, state in await asyncio.gather(*tasks)] == ["JOB_STATE_SUCCEEDED"] * 20
    assert sorted(names) == sorted(each["displayName"] for each in made)
    assert asked == {"list": 1}


async def test_seconds_that_are_given_as_text_do_no_harm(service: Service, database: dict[str, Any]) -> None:
    """A DAG may take them from an environment variable."""
    made = job(service, "report")
    async with triggerer() as running:
        task = asyncio.create_task(event(waiting_trigger(made)))
        await watching(service, running, poll_interval="0.2", event_interval="0.05", catch_up="3600")
        service.succeed(made)
        assert (await task)[1] == "JOB_STATE_SUCCEEDED"
        names = await running.names(1)
    async with triggerer() as again:
        await watching(service, again, catch_up="1e12")
        assert [*names, *await again.names(0)] == ["report"]


async def test_two_assets_with_the_same_watcher_are_remembered_both(service: Service, database: dict[str, Any]) -> None:
    async with triggerer() as running:
        await watching(service, running, assets=("one", "other"))
    assert sorted(key.partition(" ")[0] for key in database) == ["one", "other"]
    assert len({key.partition(" ")[2] for key in database}) == 1


async def test_watchers_of_one_asset_in_two_projects_are_remembered_apart(
    service: Service, database: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_OTHER", "google-cloud-platform://?project=other-project")
    (earlier,) = service.create(1, project="other-project")
    async with triggerer() as running:
        await watching(service, running)
    service.succeed(earlier)
    async with triggerer() as running:
        await watching(service, running, gcp_conn_id="other")
        assert await running.names(0) == []
    assert len(database) == 2


@pytest.mark.parametrize("fault", [{"status": 503}, {"status": 403}, {"drop": True}], ids=str)
async def test_a_watcher_outlives_an_outage_of_the_service(
    service: Service, database: dict[str, Any], fault: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("airflow_nbjobs.api.pacing._FIRST", 0.005)
    monkeypatch.setattr("airflow_nbjobs.watch.failures._LIST_AGAIN_SECONDS", 0.5)
    made = job(service, "report")
    async with triggerer() as running:
        await watching(service, running)
        service.emulator.fault({"method": "list", "times": 2, **fault})
        service.succeed(made)
        assert await running.names(1) == ["report"]


async def test_a_watcher_outlives_an_outage_of_airflow(
    service: Service, database: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trigger, "_AGAIN_SECONDS", 0.1)
    made = job(service, "report")
    with lines_of_tasks() as lines:
        async with triggerer() as running:
            await watching(service, running)
            database["failures"] = 3
            service.succeed(made)
            assert await running.names(1) == ["report"]
    assert "RuntimeError: the API server is away. It is tried again in" in str(lines)
    assert any(line.get("exc_info") for line in lines)  # an unexpected error is logged with its traceback


async def test_an_event_is_not_repeated_because_it_could_not_be_remembered(
    service: Service, database: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trigger, "_AGAIN_SECONDS", 0.1)
    made = job(service, "report")
    async with triggerer() as running:
        await watching(service, running)
        running.is_storing = False
        service.succeed(made)
        await until(lambda: running.waiting)
        database["failures"], running.is_storing = 1, True
        await running.names(1)
        await until(lambda: not database["failures"])
        await looks(service)(4)
    async with triggerer() as again:
        await watching(service, again)
        assert [*await running.names(0), *await again.names(0)] == ["report"]


async def test_an_unknown_state_of_the_watcher_is_kept_and_explained(
    service: Service, database: dict[str, Any]
) -> None:
    with lines_of_tasks() as lines:
        async with triggerer() as running:
            await watching(service, running)
        (key,) = database
        database[key] = {"v": 2}
        async with triggerer() as running:
            running.start()
            await until(lambda: "is not understood: {'v': 2}" in str(lines))
        assert database[key] == {"v": 2}


async def test_ends_that_are_older_than_catch_up_are_left_out(service: Service, database: dict[str, Any]) -> None:
    with lines_of_tasks() as lines:
        async with triggerer() as running:
            await watching(service, running)
        (key,) = database
        long_ago = datetime.now(UTC) - timedelta(days=3)
        database[key] = {**database[key], "since": long_ago.isoformat(), "read_to": long_ago.isoformat()}
        async with triggerer() as running:
            await watching(service, running, catch_up=3600)
        read_to = datetime.fromisoformat(database[key]["read_to"])
        assert datetime.now(UTC) - read_to < timedelta(hours=2)
    assert "are skipped: they are older than catch_up=3600 seconds" in str(lines)

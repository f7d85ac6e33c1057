"""Triggers that wait together: what they ask for, what each is told, and what is left of it all."""

from __future__ import annotations

import asyncio
import re
import time
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from typing import Any

import psutil
import pytest
import structlog

from airflow_nbjobs.watch import join_poller
from tests.support.crowd import Service, event, lines_of_tasks, trigger
from tests.support.waiting import until

DONE = ("done", "JOB_STATE_CANCELLED")


@pytest.mark.parametrize("count", [1, 3, 4, 50])
async def test_every_trigger_is_told_of_the_end_of_its_own_job(service: Service, count: int):
    jobs = service.create(count)
    waiting = [asyncio.create_task(event(trigger(job))) for job in jobs]
    await until(lambda: service.emulator.requests().get("get" if count <= 3 else "list"))
    await asyncio.to_thread(service.end, jobs[1:])
    others = await asyncio.wait_for(asyncio.gather(*waiting[1:]), 30)
    assert not waiting[0].done()
    await asyncio.to_thread(service.end, jobs[:1])
    assert [await asyncio.wait_for(waiting[0], 30), *others] == [DONE] * count


async def test_many_cost_as_much_as_a_few(service: Service):
    """One list tells of all; the first look finds everybody too."""
    jobs = service.create(50)
    service.asked()
    waiting = [asyncio.create_task(event(trigger(job, poll_interval=4.0))) for job in jobs]
    await until(lambda: service.emulator.requests().get("list", {}).get("200", 0) >= 2)
    asked = service.asked()
    await asyncio.to_thread(service.end, jobs)
    assert await asyncio.wait_for(asyncio.gather(*waiting), 30) == [DONE] * 50
    assert asked["list"] <= 4
    assert asked.get("get", 0) <= 3


async def test_those_who_restart_late_are_found_by_the_page(service: Service):
    """A triggerer starts while jobs have run for long, and others were made since."""
    jobs = service.create(110)
    others = service.create(120)
    service.end(others[:5])
    service.asked()
    waiting = [asyncio.create_task(event(trigger(job, poll_interval=8.0))) for job in jobs]
    await until(lambda: service.emulator.requests().get("list", {}).get("200", 0) >= 4)
    await until(lambda: service.asked() == {})
    await asyncio.to_thread(service.end, jobs)
    assert await asyncio.wait_for(asyncio.gather(*waiting), 60) == [DONE] * 110
    assert service.asked().get("get", 0) <= 1  # the service's own client reads operations


async def test_jobs_of_an_unknown_age_are_asked_for_once(service: Service):
    others = service.create(8)
    jobs = others[:6]
    ages = [None, "yesterday", *["2026-11-22T10:00:00"] * 4]  # without a time zone
    newer = service.create(100)
    assert len(newer) == 100
    service.asked()
    waiting = [
        asyncio.create_task(event(trigger(job, created_at=age, poll_interval=4.0)))
        for job, age in zip(jobs, ages, strict=True)
    ]
    await until(lambda: service.emulator.requests().get("get", {}).get("200", 0) >= 6)
    await until(lambda: service.emulator.requests().get("list", {}).get("200", 0) >= 3)
    assert service.asked()["get"] == 6
    await asyncio.to_thread(service.end, jobs)
    assert await asyncio.wait_for(asyncio.gather(*waiting), 30) == [DONE] * 6


async def test_who_comes_late_is_told_too(service: Service):
    jobs = service.create(12)
    waiting = [asyncio.create_task(event(trigger(job))) for job in jobs[:6]]
    await until(lambda: service.emulator.requests().get("list"))
    await asyncio.to_thread(service.end, jobs[6:])  # over before anybody waits for them
    waiting += [asyncio.create_task(event(trigger(job))) for job in jobs[6:]]
    late = await asyncio.wait_for(asyncio.gather(*waiting[6:]), 30)
    await asyncio.to_thread(service.end, jobs[:6])
    assert [*late, *await asyncio.wait_for(asyncio.gather(*waiting[:6]), 30)] == [DONE] * 12


async def test_two_may_wait_for_one_job(service: Service):
    (job,) = service.create(1)
    waiting = [asyncio.create_task(event(trigger(job))) for _ in range(2)]
    await until(lambda: service.emulator.requests().get("get"))
    waiting.append(asyncio.create_task(event(trigger(job))))
    waiting.append(asyncio.create_task(event(trigger(job))))
    await asyncio.sleep(0)
    waiting[0].cancel()
    await asyncio.to_thread(service.end, [job])
    assert await asyncio.wait_for(asyncio.gather(*waiting[1:]), 30) == [DONE] * 3


async def test_a_trigger_that_is_cancelled_leaves_at_once_and_hurts_nobody(service: Service):
    jobs = service.create(6)
    waiting = [asyncio.create_task(event(trigger(job))) for job in jobs]
    await until(lambda: service.emulator.requests().get("list"))
    waiting[0].cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(waiting[0], 0.5)
    await asyncio.to_thread(service.end, jobs)
    assert await asyncio.wait_for(asyncio.gather(*waiting[1:]), 30) == [DONE] * 5


async def test_nothing_is_left_when_the_last_has_gone(service: Service):
    jobs = service.create(5)
    before = connections(service)
    waiting = [asyncio.create_task(event(trigger(job))) for job in jobs]
    await until(lambda: service.emulator.requests().get("list"))
    assert len(asyncio.all_tasks()) > 6  # the poller's is among them
    assert connections(service) == before + 1  # one session for all
    for one in waiting:
        one.cancel()
    await until(lambda: len(asyncio.all_tasks()) == 1)
    await until(lambda: connections(service) == before)


def connections(service: Service) -> int:
    """Count the connections to the emulator, the test's own among them."""
    port = int(service.emulator.url.rpartition(":")[2])
    open_ones = psutil.Process().net_connections("tcp4")
    return sum(1 for one in open_ones if one.raddr and one.raddr.port == port and one.status == "ESTABLISHED")


def test_a_new_loop_begins_anew(service: Service):
    """As in ``dag.test()``, which runs each trigger in a loop of its own."""
    jobs = service.create(2)
    service.end(jobs)
    for job in jobs:
        assert asyncio.run(asyncio.wait_for(event(trigger(job)), 30)) == DONE


async def test_projects_are_watched_side_by_side(service: Service):
    theirs = service.create(5, project=f"{service.project}-b")
    ours = service.create(5)
    waiting = [asyncio.create_task(event(trigger(job))) for job in [*ours, *theirs]]
    await until(lambda: service.emulator.requests().get("list", {}).get("200", 0) >= 2)
    service.emulator.fault({"method": "list", "status": 403})  # meets one of the two
    await asyncio.to_thread(service.end, [*ours, *theirs])
    assert await asyncio.wait_for(asyncio.gather(*waiting), 30) == [DONE] * 10


def test_who_waits_in_one_place_shares_a_poller_and_who_does_not_has_another(monkeypatch: pytest.MonkeyPatch):
    where = {
        "project": "p",
        "location": "us-central1",
        "gcp_conn_id": "mine",
        "impersonation_chain": ("a@x.y",),
        "endpoint": "http://localhost:1",
    }
    others: list[dict[str, Any]] = [
        {},
        {"project": "q"},
        {"location": "us-east1"},
        {"gcp_conn_id": "yours"},
        {"impersonation_chain": ("a@x.y", "b@x.y")},
        {"impersonation_chain": None},
        {"endpoint": "http://localhost:2"},
    ]

    def wait_in(stack: ExitStack, project: str, location: str, endpoint: str, **known: Any) -> None:
        monkeypatch.setenv("NBJOBS_EMULATOR_HOST", endpoint)
        name = f"projects/{project}/locations/{location}/notebookExecutionJobs/1"
        stack.enter_context(join_poller(name, poll_interval=60.0, **known))

    async def tasks(*places: dict[str, Any]) -> int:
        with ExitStack() as stack:
            for place in places:
                wait_in(stack, **place)
            return len(asyncio.all_tasks()) - 1

    assert [asyncio.run(tasks(where, {**where, **other})) for other in others] == [1, *[2] * 6]


async def test_a_job_is_known_by_its_id_whatever_its_project_is_called(service: Service):
    jobs = service.create(5)
    named = [{**job, "name": re.sub(r"projects/[0-9]+/", f"projects/{service.project}/", job["name"])} for job in jobs]
    assert all(service.project in job["name"] for job in named)
    waiting = [asyncio.create_task(event(trigger(job))) for job in named]
    await until(lambda: service.emulator.requests().get("list"))
    await asyncio.to_thread(service.end, jobs)
    assert await asyncio.wait_for(asyncio.gather(*waiting), 30) == [DONE] * 5


async def test_a_deadline_is_kept_whatever_the_pace_is(service: Service):
    (job,) = service.create(1)
    begun = time.monotonic()
    deadline = (datetime.now(UTC) + timedelta(seconds=1)).isoformat()
    told = await event(trigger(job, poll_interval=3600.0, deadline=deadline))
    assert told == ("timeout", None)
    assert time.monotonic() - begun > 0.9


def test_a_deadline_that_is_over_is_told_at_once(service: Service):
    (job,) = service.create(1)
    deadline = (datetime.now(UTC) - timedelta(days=1)).isoformat()
    service.asked()
    assert asyncio.run(event(trigger(job, deadline=deadline))) == ("timeout", None)
    assert service.asked() == {}


async def test_each_task_tells_of_its_own_job_in_its_own_log(service: Service):
    """What tells the lines of two tasks apart in a triggerer is the context they are logged in."""
    jobs = service.create(5)

    async def one(job: dict[str, Any]) -> None:
        with structlog.contextvars.bound_contextvars(trigger_id=job["name"]):
            await event(trigger(job))

    with lines_of_tasks() as lines:
        waiting = [asyncio.create_task(one(job)) for job in jobs]
        await until(lambda: service.emulator.requests().get("list"))
        await asyncio.to_thread(service.end, jobs)
        await asyncio.wait_for(asyncio.gather(*waiting), 30)
    told = [(line["trigger_id"], str(line)) for line in lines if "Notebook job" in line["event"]]
    assert {name for name, _ in told} == {job["name"] for job in jobs}
    assert all(line.count(name) == 2 for name, line in told)

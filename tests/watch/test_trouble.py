"""A service that fails, refuses, loses jobs or asks for patience, and those who wait meanwhile."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections import Counter
from types import SimpleNamespace
from typing import Any

import pytest
from google.auth.credentials import AnonymousCredentials
from google.auth.exceptions import DefaultCredentialsError, TransportError

from airflow_nbjobs.api.endpoint import Endpoint
from airflow_nbjobs.api.job import JobState
from airflow_nbjobs.api.names import JobName
from airflow_nbjobs.api.pacing import Patience
from airflow_nbjobs.exceptions import ApiError, CredentialsError, NbjobsError, NotFoundError, UnavailableError
from airflow_nbjobs.hooks import NotebookExecutionJobAsyncHook, NotebookExecutionJobHook
from airflow_nbjobs.watch.budget import Budget
from airflow_nbjobs.watch.poller import Poller
from airflow_nbjobs.watch.waiters import Waiter
from tests.support.crowd import LOCATION, Service, event, next_state, trigger
from tests.support.hooks import ForgetfulHook
from tests.support.waiting import until

LONG_AGO = "2026-01-01T00:00:00Z"
DONE = ("done", "JOB_STATE_CANCELLED")
MISSING = "Your default credentials were not found."


async def waited_for(service: Service, jobs: list[dict[str, Any]], *, first: str) -> list[tuple[str, str | None]]:
    """Wait for jobs, and end them when requests of this method have been answered."""
    waiting = [asyncio.create_task(event(trigger(job))) for job in jobs]
    await until(lambda: service.emulator.requests().get(first, {}).get("200"))
    await asyncio.to_thread(service.end, jobs)
    return await asyncio.wait_for(asyncio.gather(*waiting), 60)


@pytest.mark.parametrize("count", [1, 5])
@pytest.mark.parametrize("trouble", [{"status": 503}, {"status": 429, "retry_after": 1}, {"drop": True}])
def test_trouble_that_passes_is_borne(service: Service, count: int, trouble: dict[str, Any]):
    jobs = service.create(count)
    method = "get" if count == 1 else "list"
    service.emulator.reset_requests()
    service.emulator.fault({"method": method, "times": 3, **trouble})
    assert asyncio.run(waited_for(service, jobs, first=method)) == [DONE] * count


async def test_all_of_them_wait_as_long_as_the_service_asks(service: Service):
    jobs = service.create(5)
    service.emulator.fault({"method": "list", "status": 429, "retry_after": 3})
    waiting = [asyncio.create_task(event(trigger(job))) for job in jobs]
    await until(lambda: service.emulator.requests().get("list", {}).get("429"))
    begun = time.monotonic()
    await until(lambda: service.emulator.requests()["list"].get("200"))
    for one in waiting:
        one.cancel()
    assert (time.monotonic() - begun) >= 2.9


def test_a_service_that_asks_for_too_long_a_rest_is_looked_at_again(service: Service, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("airflow_nbjobs.api.pacing._LONGEST_REST", 0.5)
    jobs = service.create(5)
    service.emulator.reset_requests()
    service.emulator.fault({"method": "list", "status": 429, "retry_after": 3600})
    assert asyncio.run(waited_for(service, jobs, first="list")) == [DONE] * 5


async def test_two_connections_wait_as_long_as_the_service_asks_one_of_them(service: Service):
    """They share what the quota allows: both are of one project."""
    jobs = service.create(8)
    waiting = [
        asyncio.create_task(event(trigger(job, gcp_conn_id=f"number_{index % 2}"))) for index, job in enumerate(jobs)
    ]
    await until(lambda: service.emulator.requests().get("list", {}).get("200", 0) >= 4)
    service.emulator.fault({"method": "list", "status": 429, "retry_after": 1})
    await until(lambda: service.emulator.requests()["list"].get("429"))
    begun = time.monotonic()
    await asyncio.sleep(0.3)  # what the other one had sent by then is answered
    service.emulator.reset_requests()
    await until(service.emulator.requests)
    for one in waiting:
        one.cancel()
    assert (time.monotonic() - begun) >= 0.9


async def test_who_may_not_list_asks_for_each_and_says_so_once(
    service: Service, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("airflow_nbjobs.watch.failures._LIST_AGAIN_SECONDS", 0.1)
    jobs = service.create(6)
    service.emulator.fault({"method": "list", "status": 403, "times": 3})
    with caplog.at_level(logging.WARNING, logger="airflow_nbjobs.watch.failures"):
        waiting = [asyncio.create_task(event(trigger(job))) for job in jobs]
        await until(lambda: service.emulator.requests().get("list", {}).get("403") == 3)
        assert set(service.emulator.requests()["get"]) == {"200"}
        await asyncio.to_thread(service.end, jobs)
        assert await asyncio.wait_for(asyncio.gather(*waiting), 60) == [DONE] * 6
    (told,) = [record for record in caplog.records if record.name == "airflow_nbjobs.watch.failures"]
    assert "aiplatform.notebookExecutionJobs.list" in told.getMessage()


async def test_a_list_that_is_refused_after_it_failed_is_told_of_too(
    service: Service, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("airflow_nbjobs.watch.failures._LIST_AGAIN_SECONDS", 0.1)
    jobs = service.create(6)
    for status in (503, 403):
        service.emulator.fault({"method": "list", "status": status, "times": 2})
    with caplog.at_level(logging.WARNING, logger="airflow_nbjobs.watch.failures"):
        crowd = Crowd(service, patience=Patience(seconds=0.0))
        crowd.join(jobs)
        await until(lambda: service.emulator.requests().get("list", {}).get("200"))
        await crowd.leave()
    told = [record.getMessage() for record in caplog.records if record.name == "airflow_nbjobs.watch.failures"]
    assert ["503" in told[0], "403" in told[1], len(told)] == [True, True, 2]


@pytest.mark.parametrize("odd", ["0001-01-01T00:00:00Z", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"])
async def test_odd_times_are_as_good_as_none(service: Service, odd: str):
    """The earliest and the latest that there are: nothing can be reckoned from them."""
    jobs = service.create(5)
    page = json.dumps({"notebookExecutionJobs": [{**job, "updateTime": odd} for job in jobs]})
    service.emulator.reset_requests()
    service.emulator.fault({"method": "list", "body": page, "times": 3})
    waiting = [asyncio.create_task(event(trigger(job, created_at=odd))) for job in jobs]
    await until(lambda: service.emulator.requests().get("list", {}).get("200", 0) >= 3)
    await asyncio.to_thread(service.end, jobs)
    assert await asyncio.wait_for(asyncio.gather(*waiting), 60) == [DONE] * 5


async def test_a_job_that_was_deleted_is_gone(service: Service):
    jobs = service.create(3)
    service.delete(jobs[0])
    await until(lambda: any(job["deleted"] for job in service.emulator.book(service.project)))
    waiting = [asyncio.create_task(event(trigger(job, created_at=LONG_AGO))) for job in jobs]
    assert await asyncio.wait_for(waiting[0], 3) == ("gone", None)
    assert not any(one.done() for one in waiting[1:])


@pytest.mark.parametrize("count", [1, 5])
@pytest.mark.parametrize("age", [{}, {"created_at": None}], ids=["new", "unknown"])
async def test_a_job_that_was_just_made_may_be_unknown_for_a_moment(service: Service, count: int, age: dict[str, Any]):
    jobs = service.create(count)
    if count > 3:  # otherwise nothing is listed
        service.emulator.fault({"method": "list", "status": 403})
    service.emulator.fault({"method": "get", "status": 404, "times": count})
    waiting = [asyncio.create_task(event(trigger(job, **age))) for job in jobs]
    await until(lambda: service.emulator.requests().get("get", {}).get("404") == count)
    await asyncio.to_thread(service.end, jobs)
    assert await asyncio.wait_for(asyncio.gather(*waiting), 30) == [DONE] * count


def test_a_job_that_stays_unknown_is_gone(service: Service, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("airflow_nbjobs.watch.waiters._GRACE_SECONDS", 0.5)
    (job,) = service.create(1)
    service.emulator.fault({"method": "get", "status": 404, "times": 1_000_000})
    begun = time.monotonic()
    told = asyncio.run(asyncio.wait_for(event(trigger(job)), 30))
    service.emulator.clear_faults()
    assert told == ("gone", None)
    assert time.monotonic() - begun >= 0.5


class Crowd:
    """Waiters at a poller of their own, whose times a test can shorten."""

    def __init__(self, service: Service, budget: Budget | None = None, **known: Any) -> None:
        parent = f"projects/{service.project}/locations/{LOCATION}"
        self.poller = Poller(parent, budget or Budget(6000), NotebookExecutionJobAsyncHook(), **known)
        self.waiters: dict[str, Waiter] = {}

    def join(self, jobs: list[dict[str, Any]]) -> list[Waiter]:
        for job in jobs:
            waiter = self.waiters[job["name"]] = Waiter(0.2, asyncio.get_running_loop().time())
            self.poller.join(JobName.parse(job["name"]), None, waiter)
        return list(self.waiters.values())

    async def leave(self) -> None:
        for name, waiter in self.waiters.items():
            self.poller.leave(JobName.parse(name), waiter)
        await until(lambda: len(asyncio.all_tasks()) == 1)


async def test_a_job_that_is_deleted_among_many_is_noticed_by_the_slow_look(service: Service):
    jobs = service.create(8)
    crowd = Crowd(service, recheck=2.0)
    waiters = crowd.join(jobs)
    for waiter in waiters:
        assert await asyncio.wait_for(next_state(waiter), 30) == JobState.RUNNING
    await asyncio.to_thread(service.delete, jobs[0])
    with pytest.raises(NotFoundError):
        await asyncio.wait_for(_last(waiters[0]), 30)
    await crowd.leave()


async def _last(waiter: Waiter) -> None:
    while True:
        await next_state(waiter)


@pytest.mark.parametrize("count", [2, 5])
async def test_trouble_that_lasts_ends_the_waiting_of_all(service: Service, count: int):
    jobs = service.create(count)
    service.emulator.fault({"method": "list", "status": 503, "times": 1_000_000})
    service.emulator.fault({"method": "get", "status": 503, "times": 1_000_000})
    crowd = Crowd(service, patience=Patience(seconds=2.0))
    ends = await asyncio.wait_for(
        asyncio.gather(*(next_state(waiter) for waiter in crowd.join(jobs)), return_exceptions=True), 60
    )
    await crowd.leave()
    service.emulator.clear_faults()
    assert {type(end) for end in ends} == {UnavailableError}
    assert len({id(end) for end in ends}) == count


async def test_trouble_that_comes_often_ends_the_waiting_of_those_who_saw_all_of_it(
    service: Service, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("airflow_nbjobs.api.pacing._FIRST", 0.1)
    (job,) = service.create(1)
    service.emulator.reset_requests()
    service.emulator.fault({"method": "get", "status": 503, "times": 1_000_000})
    crowd = Crowd(service, patience=Patience(tries=3, seconds=600.0))
    (first,) = crowd.join([job])
    await until(lambda: crowd.poller._client.failures.count)
    late = Waiter(0.2, asyncio.get_running_loop().time())
    crowd.poller.join(JobName.parse(job["name"]), None, late)
    waiting = asyncio.create_task(next_state(late))
    with pytest.raises(UnavailableError):
        await asyncio.wait_for(next_state(first), 30)
    asked = service.asked()["get"]
    await until(lambda: service.emulator.requests().get("get"))
    assert not waiting.done()
    waiting.cancel()
    crowd.poller.leave(JobName.parse(job["name"]), late)
    await crowd.leave()
    service.emulator.clear_faults()
    assert asked == 3


async def test_a_job_that_has_to_be_looked_for_is_not_starved_by_rounds(
    service: Service, monkeypatch: pytest.MonkeyPatch
):
    """Three requests a second are fewer than the rounds alone would take."""
    monkeypatch.setattr("airflow_nbjobs.watch.waiters._GRACE_SECONDS", 0.0)
    jobs = service.create(4)
    elsewhere = {**jobs[0], "name": jobs[0]["name"] + "0"}  # there is no such job
    budget, now = Budget(240), asyncio.get_running_loop().time()
    while not budget.wait(now):
        budget.spend(now)
    crowd = Crowd(service, budget)
    *_, lost = crowd.join([*jobs, elsewhere])
    with pytest.raises(NotFoundError):
        await asyncio.wait_for(_last(lost), 4)
    await crowd.leave()


async def test_a_job_that_cannot_be_asked_for_hurts_nobody_else(service: Service, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("airflow_nbjobs.watch.waiters._GRACE_SECONDS", 0.1)
    jobs = service.create(3)
    elsewhere = {**jobs[0], "name": jobs[0]["name"] + "0"}  # there is no such job
    crowd = Crowd(service)
    *others, lost = crowd.join([*jobs, elsewhere])
    with pytest.raises(NotFoundError):
        await asyncio.wait_for(_last(lost), 30)
    await asyncio.to_thread(service.end, jobs)
    for waiter in others:
        while not (await asyncio.wait_for(next_state(waiter), 30)).is_terminal:
            pass
    await crowd.leave()


class BrokenHook(NotebookExecutionJobAsyncHook):
    """A connection that does not exist."""

    failure: Exception = LookupError("no connection")

    async def client(self, location: str) -> Any:
        raise self.failure


@pytest.mark.parametrize("failure", [CredentialsError("no token"), LookupError("no connection")])
async def test_many_are_told_of_an_error_in_turns(service: Service, failure: Exception):
    jobs = [{"name": f"projects/p/locations/{LOCATION}/notebookExecutionJobs/{number}"} for number in range(100)]
    turn, woken = 0, []

    async def one(waiter: Waiter) -> None:
        with pytest.raises(NbjobsError):
            await next_state(waiter)
        woken.append(turn)

    crowd = Crowd(service)
    crowd.poller._client._hook = hook = BrokenHook()
    hook.failure = failure
    waiting = asyncio.gather(*(one(waiter) for waiter in crowd.join(jobs)))
    while not waiting.done():
        turn += 1
        await asyncio.sleep(0)
    await crowd.leave()
    assert len(woken) == 100
    assert max(Counter(woken).values()) <= 20


async def test_a_poller_that_breaks_tells_everybody(service: Service):
    jobs = service.create(4)
    crowd = Crowd(service)
    crowd.poller._client._hook = BrokenHook()
    ends = await asyncio.wait_for(
        asyncio.gather(*(next_state(waiter) for waiter in crowd.join(jobs)), return_exceptions=True), 30
    )
    assert all(type(end) is NbjobsError and "LookupError: no connection" in str(end) for end in ends)
    assert not any(isinstance(end, ApiError) for end in ends)


def test_what_is_wrong_with_the_connection_is_in_the_tasks_own_error(service: Service, monkeypatch: pytest.MonkeyPatch):
    """Without an emulator a connection that is missing is an error."""
    (job,) = service.create(1)
    monkeypatch.delenv("NBJOBS_EMULATOR_HOST")
    with pytest.raises(NbjobsError, match="nobody_knows_it"):
        asyncio.run(asyncio.wait_for(event(trigger(job, gcp_conn_id="nobody_knows_it")), 30))


async def test_a_connection_that_cannot_be_looked_up_at_first_is_looked_up_again(service: Service):
    jobs = service.create(3)
    crowd = Crowd(service)
    crowd.poller._hook = crowd.poller._client._hook = ForgetfulHook()
    waiters = crowd.join(jobs)
    states = await asyncio.wait_for(asyncio.gather(*(next_state(waiter) for waiter in waiters)), 30)
    await crowd.leave()
    assert {state.is_terminal for state in states} == {False}


async def test_looking_a_connection_up_is_not_broken_off(service: Service, monkeypatch: pytest.MonkeyPatch):
    """Airflow 3.1's triggerer reads answers out of order afterwards, and ends."""
    steps: list[str] = []

    async def look_up(_: str) -> SimpleNamespace:
        steps.append("asked")
        try:
            await asyncio.sleep(0.2)
        except asyncio.CancelledError:
            steps.append("broken off")
            raise
        steps.append("answered")
        return SimpleNamespace(extra_dejson={})

    monkeypatch.setattr("airflow_nbjobs.hooks.async_hook.get_async_connection", look_up)
    (job,) = service.create(1)
    waiting = asyncio.create_task(event(trigger(job)))
    await until(lambda: steps)
    waiting.cancel()
    await until(lambda: len(steps) == 2)
    assert steps == ["asked", "answered"]


@pytest.mark.parametrize("failure", [TransportError("no route"), DefaultCredentialsError(MISSING), OSError("reset")])
async def test_credentials_that_cannot_be_made_at_first_are_made_later(
    service: Service, failure: Exception, monkeypatch: pytest.MonkeyPatch
):
    """A metadata server is not there yet; the poller bears it for longer than a task does."""
    monkeypatch.setattr("airflow_nbjobs.api.pacing._FIRST", 0.01)
    monkeypatch.setenv("AIRFLOW_CONN_GOOGLE_CLOUD_DEFAULT", "google-cloud-platform://")
    monkeypatch.delenv("NBJOBS_EMULATOR_HOST")
    trusted = Endpoint(service.emulator.url, is_trusted=True)
    monkeypatch.setattr(NotebookExecutionJobHook, "endpoint", lambda *_: trusted)
    jobs = service.create(3)
    failures = [failure] * 7

    def default(**_: Any) -> Any:
        if failures:
            raise failures.pop()
        return AnonymousCredentials(), "p"

    monkeypatch.setattr("google.auth.default", default)
    crowd = Crowd(service)
    waiters = crowd.join(jobs)
    states = await asyncio.wait_for(asyncio.gather(*(next_state(waiter) for waiter in waiters)), 30)
    await crowd.leave()
    assert {state.is_terminal for state in states} == {False}
    assert not failures


class SlowlyClosedHook(BrokenHook):
    """Closing it takes as long as a server on the other side of the world needs to say goodbye."""

    is_closed = False

    async def close(self) -> None:
        await asyncio.sleep(0.2)
        self.is_closed = True


async def test_a_poller_that_breaks_closes_its_session_though_all_waiters_leave_meanwhile(service: Service):
    (job,) = service.create(1)
    crowd = Crowd(service)
    crowd.poller._hook = crowd.poller._client._hook = hook = SlowlyClosedHook()
    (waiter,) = crowd.join([job])
    with pytest.raises(NbjobsError):
        await asyncio.wait_for(next_state(waiter), 30)
    await crowd.leave()
    assert hook.is_closed

"""Requests that fail: what waiting tasks are told, in their own logs."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import structlog

from airflow_nbjobs.exceptions import UnavailableError
from airflow_nbjobs.watch import join_poller
from airflow_nbjobs.watch.failures import Outage, OutageReports
from tests.support.crowd import Service, event, lines_of_tasks, trigger
from tests.support.waiting import until

Logs = Callable[[], dict[str, list[tuple[str, str]]]]


@pytest.fixture
def logs() -> Iterator[Logs]:
    """Give what returns the level and the text of each task's lines: a triggerer tells tasks apart by the context."""

    def by_task() -> dict[str, list[tuple[str, str]]]:
        found = defaultdict(list)
        for line in lines:
            if "trigger_id" in line:
                text = line["event"] % line.get("positional_args", ())
                found[line["trigger_id"]].append((line["log_level"], text))
        return found

    with lines_of_tasks() as lines:
        yield by_task


async def in_its_own_log(job: dict[str, Any]) -> tuple[str, str | None]:
    with structlog.contextvars.bound_contextvars(trigger_id=job["name"]):
        return await event(trigger(job))


@pytest.mark.parametrize(("count", "method"), [(1, "get"), (5, "list")])
async def test_each_task_logs_an_outage_and_its_end(service: Service, logs: Logs, count: int, method: str):
    jobs = service.create(count)
    names = {job["name"] for job in jobs}
    service.emulator.fault({"method": method, "status": 503, "times": 3})
    waiting = [asyncio.create_task(in_its_own_log(job)) for job in jobs]
    await until(lambda: sum(any("work again" in text for _, text in some) for some in logs().values()) == count)
    await asyncio.to_thread(service.end, jobs)
    await asyncio.wait_for(asyncio.gather(*waiting), 30)
    told = logs()
    assert told.keys() == names
    for name, lines in told.items():
        (warning,) = [text for level, text in lines if level == "warning"]
        assert f"Failed to read the state of {name}" in warning
        assert "503" in warning
        assert "check the network, the credentials of the connection google_cloud_default" in warning
        assert [text for _, text in lines if "Requests work again" in text and name in text]


async def test_an_unreachable_emulator_is_named_at_once(service: Service, logs: Logs, monkeypatch: pytest.MonkeyPatch):
    (job,) = service.create(1)
    monkeypatch.setenv("NBJOBS_EMULATOR_HOST", "http://localhost:1")  # nothing listens there
    waiting = asyncio.create_task(in_its_own_log(job))
    await until(lambda: logs()[job["name"]])
    waiting.cancel()
    ((level, text),) = logs()[job["name"]]
    assert level == "warning"
    assert "Start `nbjobs emulator` where NBJOBS_EMULATOR_HOST" in text


async def test_a_trigger_that_joins_during_an_outage_is_told(service: Service):
    jobs = service.create(2)
    service.emulator.fault({"method": "get", "status": 503, "times": 1_000_000})
    told = {"gcp_conn_id": "google_cloud_default", "poll_interval": 60.0}
    with join_poller(jobs[0]["name"], **told) as first:
        report = await asyncio.wait_for(first.next_report(), 30)
        with join_poller(jobs[1]["name"], **told) as second:
            assert await asyncio.wait_for(second.next_report(), 1) is report
    service.emulator.clear_faults()
    assert isinstance(report, Outage)


def test_reports_come_at_growing_intervals():
    reports = OutageReports()
    error = UnavailableError("no")
    assert [now for now in range(901) if reports.failed(error, 100.0 + now)] == [0, 30, 60, 120, 240, 480]


def test_the_end_of_an_outage_is_reported_once():
    reports = OutageReports()
    assert reports.worked() is None
    began = reports.failed(UnavailableError("no"), 0.0)
    assert began is not None
    assert reports.worked() == Outage(began.error, began.since, is_over=True)
    assert (reports.worked(), reports.current) == (None, None)
    assert reports.failed(UnavailableError("again"), 5.0)

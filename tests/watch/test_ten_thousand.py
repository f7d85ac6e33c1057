"""Ten thousand who wait: they are found by the page, and a round costs what has changed."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime, timedelta
from typing import Any

from airflow_nbjobs.api.calls import Page
from airflow_nbjobs.api.job import JobState
from airflow_nbjobs.api.names import JobName
from airflow_nbjobs.watch.budget import Budget
from airflow_nbjobs.watch.poller import Poller
from airflow_nbjobs.watch.updates import JobUpdate
from airflow_nbjobs.watch.waiters import Waiter
from tests.support.crowd import next_state
from tests.support.waiting import until

INTERVAL = 1.0
PARENT = "projects/p/locations/us-central1"
BEGAN = datetime.now(UTC) - timedelta(hours=4)


class Shown:
    """A connection without a network: it lists jobs, those first that changed last, and is asked for nothing else.

    :ivar asked: how often it was asked.
    """

    def __init__(self, count: int) -> None:
        self.asked = 0
        self._jobs = [JobUpdate(str(n), "JOB_STATE_RUNNING", BEGAN + timedelta(seconds=n)) for n in range(count)]
        self._jobs.reverse()

    def end(self, ids: set[str]) -> None:
        ended = [JobUpdate(job_id, "JOB_STATE_SUCCEEDED", datetime.now(UTC)) for job_id in ids]
        self._jobs = ended + [job for job in self._jobs if job.job_id not in ids]

    async def get_sync_hook(self) -> None:
        """Look no connection up."""

    async def client(self, _: str) -> Shown:
        return self

    async def close(self) -> None:
        """Close nothing."""

    async def send(self, call: Any, _: Any) -> Page[JobUpdate]:
        assert call.path == f"/v1/{PARENT}/notebookExecutionJobs"
        self.asked += 1
        await asyncio.sleep(0)
        begin = int(call.query.get("pageToken") or 0)
        end = begin + int(call.query["pageSize"])
        return Page(self._jobs[begin:end], str(end) if end < len(self._jobs) else "")


class Crowd:
    """So many who wait, each for a job of its own."""

    def __init__(self, count: int) -> None:
        self.service = Shown(count)
        self.poller = Poller(PARENT, Budget(60_000), self.service)
        now = asyncio.get_running_loop().time()
        self.waiters = {str(n): Waiter(INTERVAL, now) for n in range(count)}
        for job_id, waiter in self.waiters.items():
            self.poller.join(JobName.parse(f"{PARENT}/notebookExecutionJobs/{job_id}"), BEGAN, waiter)

    async def are_told(self, ids: set[str], state: str) -> None:
        """Wait until these are told that their jobs are in this state."""
        told = await asyncio.gather(*(next_state(self.waiters[job_id]) for job_id in ids))
        assert set(told) == {JobState(state)}

    async def leave(self) -> None:
        for job_id, waiter in self.waiters.items():
            self.poller.leave(JobName.parse(f"{PARENT}/notebookExecutionJobs/{job_id}"), waiter)
        await until(lambda: len(asyncio.all_tasks()) == 1)


async def test_ten_thousand_are_found_by_the_page_and_told_their_ends():
    crowd = Crowd(10_000)
    await crowd.are_told(set(crowd.waiters), "JOB_STATE_RUNNING")
    asked, ending = crowd.service.asked, {str(n) for n in range(0, 10_000, 50)}
    crowd.service.end(ending)
    await asyncio.wait_for(crowd.are_told(ending, "JOB_STATE_SUCCEEDED"), 60)
    await crowd.leave()
    assert asked <= 10_000 / 100 + 5


def test_a_round_of_ten_thousand_costs_what_one_of_a_hundred_does():
    async def least_cost(count: int) -> float:
        crowd, costs = Crowd(count), []
        await crowd.are_told(set(crowd.waiters), "JOB_STATE_RUNNING")
        for _ in range(20):
            begun = time.thread_time()
            await crowd.poller._round()
            costs.append(time.thread_time() - begun)
        await crowd.leave()
        return min(costs)

    few, many = (asyncio.run(least_cost(count)) for count in (100, 10_000))
    assert many <= 4 * few

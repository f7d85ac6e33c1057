"""What event triggers learn from the lists of a poller: how far back they are read, and who is told."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from airflow_nbjobs.api.names import JobName
from airflow_nbjobs.events.memory import Memory
from airflow_nbjobs.exceptions import PermissionDeniedError
from airflow_nbjobs.watch import join_feed
from airflow_nbjobs.watch.cursor import OVERLAP
from airflow_nbjobs.watch.feeds import LATE, Feed, Feeds
from airflow_nbjobs.watch.lookups import RECHECK_SECONDS
from airflow_nbjobs.watch.updates import JobUpdate
from tests.support.crowd import LOCATION, Service

START = datetime(2026, 11, 22, 10, tzinfo=UTC)
PARENT = "projects/1/locations/l"


def update(number: int, seconds: float, state: str = "SUCCEEDED") -> JobUpdate:
    name = str(JobName("1", "l", str(number)))
    return JobUpdate(str(number), f"JOB_STATE_{state}", START + timedelta(seconds=seconds), {"name": name})


def feed(read_to: datetime | None = None, **known: Any) -> Feed:
    return Feed(wants=lambda _: True, poll_interval=30.0, read_to=read_to, **known)


def feeds(*some: Feed) -> Feeds:
    made = Feeds(RECHECK_SECONDS)
    made.update(some)
    return made


def test_one_page_is_enough_for_new_watchers() -> None:
    assert feeds(feed(), feed()).begin_round(0.0).is_reached([])


def test_a_round_reads_back_to_the_feed_that_knows_least() -> None:
    reading = feeds(feed(START), feed(START - timedelta(hours=1)), feed()).begin_round(0.0)
    assert reading.back_to == START - timedelta(hours=1) - OVERLAP
    assert not reading.is_reached([update(1, -3600), update(2, -3605)])
    assert reading.is_reached([update(3, -3611)])


def test_now_and_then_a_round_reads_back_minutes() -> None:
    some = feeds(feed(START))
    depths = [START - (some.begin_round(now).back_to or START) for now in (0.0, 599.0, 600.0, 630.0, 1200.0)]
    assert depths == [OVERLAP, OVERLAP, LATE, OVERLAP, LATE]


@pytest.mark.parametrize("ended", range(0, 1200, 30))
def test_an_end_that_is_listed_five_minutes_late_is_read(ended: int) -> None:
    """However many other jobs have changed since."""
    watching = feed(START)
    some = feeds(watching)
    for now in range(0, 3000, 30):
        watching.end_round(START + timedelta(seconds=now))
        back_to = some.begin_round(float(now)).back_to
        if now >= ended + 300 and back_to is not None and back_to < START + timedelta(seconds=ended):
            memory = Memory(START - timedelta(seconds=1), START + timedelta(seconds=now))
            assert memory.is_new(update(1, ended))
            return
    pytest.fail("no round reads back to it")


async def test_ends_come_after_the_round_in_their_order() -> None:
    watching = feed(START)
    reading = feeds(watching).begin_round(0.0)
    waiting = asyncio.create_task(watching.next_round())
    reading.see([update(3, 9), update(2, 5, "RUNNING")])
    reading.see([update(1, 3)])
    await asyncio.sleep(0)
    assert not waiting.done()
    reading.end(START + timedelta(seconds=10))
    ended, read_to = await waiting
    assert [job.job_id for job in ended] == ["1", "3"]
    assert read_to == START + timedelta(seconds=10)
    assert watching.parent == PARENT


def test_a_feed_that_comes_in_a_round_waits_for_the_next_one() -> None:
    """It has not seen the first pages."""
    some, late = feeds(feed(START)), feed()
    reading = some.begin_round(0.0)
    some.add(late)
    reading.see([update(1, 3)])
    reading.end(START)
    assert late.read_to is None


async def test_an_error_ends_the_waiting_of_all() -> None:
    some = feeds(feed(), feed(START))
    waiting = [asyncio.create_task(each.next_round()) for each in some]
    await asyncio.sleep(0)
    some.end(PermissionDeniedError("no"))
    ends = await asyncio.gather(*waiting, return_exceptions=True)
    assert [str(end) for end in ends] == ["no", "no"]
    assert ends[0] is not ends[1]
    assert not some


@pytest.mark.parametrize("moment", [START - timedelta(days=1), START])
def test_what_is_known_never_becomes_less(moment: datetime) -> None:
    watching = feed(START)
    feeds(watching).begin_round(0.0).end(moment)
    assert watching.read_to == START


async def test_a_page_that_was_read_is_let_go(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """A watcher that starts after a day may read back a hundred pages."""
    monkeypatch.setattr("airflow_nbjobs.api.calls.PAGE_LIMIT", 5)
    seen: list[str] = []
    kept: list[int] = []

    def wants(job: Mapping[str, Any]) -> bool:
        seen.append(job["name"])
        if len(seen) % 5 == 0:
            kept.append(sum(isinstance(each, JobUpdate) for each in gc.get_objects()))
        return False

    service.end(service.create(40))
    began = datetime.now(UTC) - timedelta(hours=1)
    watching = Feed(wants, poll_interval=0.2, read_to=began)
    parent = f"projects/{service.project}/locations/{LOCATION}"
    with join_feed(watching, parent, gcp_conn_id="google_cloud_default"):
        await watching.next_round()
    assert len(seen) == 40
    assert max(kept) - min(kept) <= 15

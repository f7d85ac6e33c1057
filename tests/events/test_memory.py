"""What a watcher remembers: which ends are new, and how much of them is kept."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from airflow.triggers.base import BaseEventTrigger
from hypothesis import given
from hypothesis import strategies as st

from airflow_nbjobs.events.memory import KEPT, Memory, Store
from airflow_nbjobs.exceptions import NbjobsError
from airflow_nbjobs.watch.feeds import LATE
from airflow_nbjobs.watch.updates import JobUpdate

START = datetime(2026, 11, 22, 10, tzinfo=UTC)


def ended(name: str, seconds: float | None) -> JobUpdate:
    moment = None if seconds is None else START + timedelta(seconds=seconds)
    return JobUpdate(name, "JOB_STATE_SUCCEEDED", moment)


def test_a_watcher_begins_with_what_it_sees_first() -> None:
    memory = Memory.begin([ended("seen", 5)], START)
    assert not memory.is_new(ended("seen", 5))
    assert not memory.is_new(ended("before", 0))
    assert memory.is_new(ended("after", 0.001))


def test_an_end_that_is_listed_late_is_new_for_minutes() -> None:
    memory = Memory(START - timedelta(days=1), START)
    late = LATE.total_seconds()
    assert memory.is_new(ended("late", -late))
    assert not memory.is_new(ended("too late", -late - 1))


def test_a_job_that_changes_after_its_end_is_not_new() -> None:
    memory = Memory(START, START)
    memory.add(ended("report", 1))
    memory.advance(START + timedelta(days=1))
    assert not memory.is_new(ended("report", 90_000))


def test_a_job_without_a_time_is_reported_once() -> None:
    memory = Memory(START, START + timedelta(seconds=1))
    assert memory.is_new(ended("odd", None))
    memory.add(ended("odd", None))
    assert not memory.is_new(ended("odd", None))


def test_old_jobs_are_forgotten_but_none_that_lists_show() -> None:
    memory = Memory(START, START)
    for number in range(3 * KEPT):
        memory.add(ended(str(number), number * 0.01))
    memory.advance(START + timedelta(seconds=20))
    assert len(memory.jobs) == 3 * KEPT
    memory.advance(START + LATE + timedelta(seconds=1000))
    assert set(memory.jobs) == {str(number) for number in range(2 * KEPT, 3 * KEPT)}
    assert len(json.dumps(memory.to_json())) < 32_000


needs_state = pytest.mark.skipif(
    not hasattr(BaseEventTrigger, "create_shared_stream_producer"), reason="assets have a state since Airflow 3.3"
)


def store_of(*assets: str) -> Store:
    from airflow.sdk import Asset
    from airflow.sdk.execution_time.context import AssetStateStoreAccessors

    return Store(AssetStateStoreAccessors(inlets=[Asset(name) for name in assets]), "watcher")


@needs_state
async def test_what_is_stored_does_not_grow_without_end(database: dict[str, Any]) -> None:
    memory, store = Memory(START, START), store_of("reports")
    for number in range(2 * KEPT):
        memory.add(ended(str(number), number * 60))
        await store.save(memory)
        memory.advance(START + timedelta(minutes=number))
    (stored,) = database.values()
    assert set(stored["jobs"]) == {str(number) for number in range(KEPT, 2 * KEPT)}


@needs_state
@pytest.mark.parametrize("assets", [("current", "paused"), ("paused", "current")])
async def test_an_asset_that_was_paused_brings_no_old_memory(database: dict[str, Any], assets: tuple[str, str]) -> None:
    hour = START + timedelta(hours=1)
    await store_of("paused").save(Memory(START, START, {"early": 1.0}))
    await store_of("current").save(Memory(START, hour, {"late": 2.0}))
    assert await store_of(*assets).load() == Memory(START, hour, {"early": 1.0, "late": 2.0})


def test_what_another_process_reported_is_taken_over() -> None:
    memory, other = Memory(START, START), Memory(START, START, {"theirs": 1.0})
    memory.add(ended("ours", 1))
    other.advance(START + timedelta(hours=1))
    memory.merge(other)
    memory.merge(None)
    assert set(memory.jobs) == {"ours", "theirs"}
    assert not memory.is_new(ended("reported and forgotten", 2))


@given(st.dictionaries(st.integers(0).map(str), st.floats(0, 1e9)))
def test_a_memory_survives_being_stored(jobs: dict[str, float]) -> None:
    memory = Memory(START, START + timedelta(microseconds=1))
    for name, seconds in jobs.items():
        memory.add(ended(name, seconds))
    assert Memory.from_json(json.loads(json.dumps(memory.to_json()))) == memory


@pytest.mark.parametrize("stored", [{"v": 2}, {}, "text", 7, ["v"]], ids=str)
def test_a_memory_of_another_version_is_refused(stored: object) -> None:
    with pytest.raises(NbjobsError, match="is not understood"):
        Memory.from_json(stored)

"""Triggers that wait together: what they ask for, what each is told, and what is left of it all."""

from __future__ import annotations

import asyncio

import pytest

from tests.watch.crowd import Service, event, trigger, until

DONE = ("done", "JOB_STATE_CANCELLED")


@pytest.mark.parametrize("count", [1, 3, 4, 50])
def test_every_trigger_is_told_of_the_end_of_its_own_job(service: Service, count: int):
    jobs = service.create(count)

    async def wait() -> list[tuple[str, str | None]]:
        waiting = [asyncio.create_task(event(trigger(job))) for job in jobs]
        await until(lambda: service.emulator.requests().get("get" if count <= 3 else "list"))
        await asyncio.to_thread(service.end, jobs[1:])
        others = await asyncio.wait_for(asyncio.gather(*waiting[1:]), 30)
        assert not waiting[0].done()
        await asyncio.to_thread(service.end, jobs[:1])
        return [await asyncio.wait_for(waiting[0], 30), *others]

    assert asyncio.run(wait()) == [DONE] * count

"""What waiting costs, held with slack: `make bench` measures it."""

from __future__ import annotations

import asyncio
import gc
import tracemalloc

from bench.measure import TimedLoop
from tests.watch.crowd import Service, event, trigger

COUNT, INTERVAL, SECONDS = 300, 6.0, 18.0


def test_three_hundred_that_wait_cost_little(service: Service):
    """Each for itself they would send 900 requests in this time."""
    jobs = service.create(COUNT)

    async def wait() -> tuple[float, float]:
        first = asyncio.create_task(event(trigger(jobs[0], poll_interval=INTERVAL)))
        await asyncio.sleep(INTERVAL)
        gc.collect()
        tracemalloc.start()
        waiting = [asyncio.create_task(event(trigger(job, poll_interval=INTERVAL))) for job in jobs[1:]]
        await asyncio.sleep(0.1)
        memory = tracemalloc.get_traced_memory()[0] / COUNT
        tracemalloc.stop()
        loop = asyncio.get_running_loop()
        assert isinstance(loop, TimedLoop)
        loop.busy = 0.0
        service.asked()
        await asyncio.sleep(SECONDS)
        for task in [first, *waiting]:
            assert not task.done()
            task.cancel()
        return memory, loop.busy

    with asyncio.Runner(loop_factory=TimedLoop) as runner:
        memory, busy = runner.run(wait())
    assert sum(service.asked().values()) <= 25
    assert memory <= 20_000
    assert busy <= 0.05  # a fifth of it on a machine that does nothing else; tracing and tests cost too

"""One process with many triggers, like a triggerer: ours, or those of the Google provider."""

from __future__ import annotations

import asyncio
import gc
import importlib
import json
import logging
import sys
import time
from itertools import pairwise
from pathlib import Path
from typing import Any, cast

import structlog

from bench.measure import TimedLoop, allow_open_files, rss

FIRST_SECONDS = 10.0
"""Seconds, or two intervals, in which the first trigger waits alone: its memory does not count for the others."""

SETTLED_SECONDS = 30.0
"""After so many seconds every trigger has sent a request."""

LATE_SECONDS = 6.0
"""Minimum seconds to wait for late events: the machine may be busy."""


async def wait(
    jobs: list[dict[str, Any]], interval: float, ticks: int, tick: float, watchers: int = 0
) -> dict[str, Any]:
    """Let a trigger wait for each job, tell each tick, and return what each took and cost, and the events.

    :param ticks: so many, each `tick` seconds long, are measured; late events may come a while longer.
    :param watchers: how many event triggers watch beside them.
    """
    events: dict[str, float] = {}

    async def one(job: dict[str, Any]) -> None:
        module, name = job["classpath"].rsplit(".", 1)
        trigger = getattr(importlib.import_module(module), name)(**job["kwargs"], poll_interval=interval)
        async for _ in trigger.run():
            events[job["id"]] = time.time()

    waiting = [asyncio.create_task(one(jobs[0]))]
    await asyncio.sleep(min(FIRST_SECONDS, 2 * interval))
    gc.collect()
    await asyncio.sleep(0)  # a long turn that is not measured
    memory, loop = rss(), cast(TimedLoop, asyncio.get_running_loop())
    grown: list[int] = []
    loop.call_later(min(SETTLED_SECONDS, ticks * tick), lambda: grown.append(rss() - memory))
    loop.forget()
    print("begin", flush=True)
    begun, cpu = time.monotonic(), time.process_time()
    spent, ended = [], [begun]
    for job in jobs[1:]:
        waiting.append(asyncio.create_task(one(job)))
        await asyncio.sleep(0)  # as the triggerer does
    waiting += _watching(watchers, interval)
    for number in range(1, ticks + 1):
        await asyncio.sleep(max(0.0, begun + number * tick - time.monotonic()))
        spent.append(time.process_time() - cpu)
        cpu += spent[-1]
        ended.append(time.monotonic())
        print("tick", flush=True)
    turns = _turns(loop)
    await asyncio.sleep(max(LATE_SECONDS, 1.2 * interval))
    for task in waiting:
        task.cancel()
    failed = [end for end in await asyncio.gather(*waiting, return_exceptions=True) if isinstance(end, Exception)]
    if failed:
        raise failed[0]
    each = grown[0] / 1024 / max(1, len(jobs) - 1)
    seconds = [now - then for then, now in pairwise(ended)]  # an overloaded loop is late
    return {"seconds": seconds, "cpu": spent, "kb_per_waiter": each, **turns, "events": events}


def _watching(watchers: int, interval: float) -> list[asyncio.Task[None]]:
    if not watchers:
        return []
    from airflow.triggers.shared_stream import SharedStreamManager

    from bench.watcher import watch

    manager = SharedStreamManager()
    return [asyncio.create_task(watch(number, interval, manager)) for number in range(watchers)]


def _turns(loop: TimedLoop) -> dict[str, float]:
    """Return the longest turns of the loop so far, in milliseconds."""
    return {
        "busy_ms": loop.busy * 1e3,
        "busy_uncollected_ms": loop.busy_uncollected * 1e3,
        "collection_ms": loop.collection * 1e3,
        "blocked_ms": loop.blocked * 1e3,
    }


def main(interval: str, ticks: str, tick: str, module: str, watchers: str) -> None:
    """Wait for the jobs whose list is named on stdin, and print the result. Only warnings are logged, on both sides.

    :param module: imported before all else.
    :param watchers: how many event triggers watch beside them.
    """
    allow_open_files()
    importlib.import_module(module)
    # After Airflow was imported, which configures this too.
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    logging.disable(logging.INFO)
    print("ready", flush=True)
    jobs = json.loads(Path(sys.stdin.readline().strip()).read_text())
    with asyncio.Runner(loop_factory=TimedLoop) as runner:
        print(
            "result",
            json.dumps(runner.run(wait(jobs, float(interval), int(ticks), float(tick), int(watchers)))),
            flush=True,
        )


if __name__ == "__main__":
    main(*sys.argv[1:])

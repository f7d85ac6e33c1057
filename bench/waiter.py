"""One process with many triggers in it, as a triggerer has them: ours, or those of the Google provider."""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import structlog

from bench.measure import TimedLoop, rss

Make = Callable[[dict[str, Any], float], Any]
SETTLED_SECONDS = 20.0  # by then every trigger has looked at least once, at any interval up to this


def ours() -> Make:
    """Return what makes our trigger for a job."""
    from airflow_nbjobs.triggers import NotebookExecutionJobTrigger

    return lambda job, interval: NotebookExecutionJobTrigger(
        job["name"], created_at=job["created_at"], poll_interval=interval
    )


def vertex() -> Make:
    """Return what makes the Google provider's trigger for a batch prediction job; its channel leads to the stub.

    All else is the provider's. Without TLS and without a token it has less to do than at home.
    """
    import grpc
    from airflow.providers.google.cloud.hooks.vertex_ai.batch_prediction_job import BatchPredictionJobAsyncHook
    from airflow.providers.google.cloud.triggers.vertex_ai import CreateBatchPredictionJobTrigger
    from google.cloud.aiplatform_v1.services.job_service import JobServiceAsyncClient
    from google.cloud.aiplatform_v1.services.job_service.transports import JobServiceGrpcAsyncIOTransport

    class Hook(BatchPredictionJobAsyncHook):
        async def get_job_service_client(self, region: str | None = None) -> JobServiceAsyncClient:  # noqa: ARG002 - the provider's signature
            channel = grpc.aio.insecure_channel(os.environ["VERTEX_STUB"])
            return JobServiceAsyncClient(transport=JobServiceGrpcAsyncIOTransport(channel=channel))

    class Trigger(CreateBatchPredictionJobTrigger):
        async_hook = Hook()

    return lambda job, interval: Trigger(
        conn_id="google_cloud_default",
        project_id="bench",
        location="us-central1",
        job_id=job["id"],
        poll_interval=interval,
    )


async def wait(make: Make, jobs: list[dict[str, Any]], interval: float, seconds: float) -> dict[str, Any]:
    """Let a trigger wait for each job, so many seconds long, and return what that cost and when the events came."""
    events: dict[str, float] = {}

    async def one(job: dict[str, Any]) -> None:
        async for _ in make(job, interval).run():
            events[job["id"]] = time.time()

    # What the first one brings with it is not the price of one more.
    first = asyncio.create_task(one(jobs[0]))
    await asyncio.sleep(min(interval, SETTLED_SECONDS))
    gc.collect()
    await asyncio.sleep(0)  # that was a long turn, and is not to be measured
    memory, loop = rss(), cast(TimedLoop, asyncio.get_running_loop())
    loop.busy = loop.blocked = 0.0
    print("begin", flush=True)
    begun, cpu = time.monotonic(), time.process_time()
    waiting = [first]
    for job in jobs[1:]:
        waiting.append(asyncio.create_task(one(job)))
        await asyncio.sleep(0)  # so does the triggerer
    await asyncio.sleep(min(seconds, max(interval, SETTLED_SECONDS)))
    grown = rss() - memory
    await asyncio.sleep(max(0.0, begun + seconds - time.monotonic()))
    minutes = (time.monotonic() - begun) / 60
    spent = time.process_time() - cpu
    for task in waiting:
        task.cancel()
    failed = [end for end in await asyncio.gather(*waiting, return_exceptions=True) if isinstance(end, Exception)]
    if failed:
        raise failed[0]
    return {
        "cpu_per_minute": spent / minutes,
        "kb_per_waiter": grown / 1024 / max(1, len(jobs) - 1),
        "busy_ms": loop.busy * 1e3,
        "blocked_ms": loop.blocked * 1e3,
        "events": events,
    }


def main(side: str, interval: str, seconds: str) -> None:
    """Wait for the jobs whose list is named on stdin, and print the result. Only warnings are logged, on both sides."""
    make = {"ours": ours, "vertex": vertex}[side]()
    # After Airflow was imported, which configures this too.
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    logging.disable(logging.INFO)
    print("ready", flush=True)
    jobs = json.loads(Path(sys.stdin.readline().strip()).read_text())
    with asyncio.Runner(loop_factory=TimedLoop) as runner:
        print(json.dumps(runner.run(wait(make, jobs, float(interval), float(seconds)))))


if __name__ == "__main__":
    main(*sys.argv[1:])

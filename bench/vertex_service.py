"""A stand-in for Vertex AI's batch prediction jobs, over gRPC, as simple as possible."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import sys
import time
from typing import Any

import grpc
from google.cloud.aiplatform_v1.types import BatchPredictionJob, GetBatchPredictionJobRequest, JobState

from bench.measure import allow_open_files


async def serve() -> None:
    """Answer until stdin ends: the port first, then for each line the count of requests so far.

    A line may hold JSON: when which jobs end, in seconds since 1970. The others go on.
    """
    count = 0
    ends: dict[str, float] = {}

    async def get(request: GetBatchPredictionJobRequest, _: Any) -> BatchPredictionJob:
        nonlocal count
        count += 1
        is_over = ends.get(request.name.rpartition("/")[2], float("inf")) <= time.time()
        state = JobState.JOB_STATE_SUCCEEDED if is_over else JobState.JOB_STATE_RUNNING
        return BatchPredictionJob(name=request.name, display_name="a job", model="m" * 500, state=state)

    handler = grpc.unary_unary_rpc_method_handler(
        get,
        request_deserializer=GetBatchPredictionJobRequest.deserialize,
        response_serializer=BatchPredictionJob.serialize,
    )
    server = grpc.aio.server()
    service = "google.cloud.aiplatform.v1.JobService"
    methods = {"GetBatchPredictionJob": handler}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, methods),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    print("port", port, flush=True)
    while line := await asyncio.to_thread(sys.stdin.readline):
        if line.strip():
            ends = json.loads(line)
        print("count", count, flush=True)
    await server.stop(None)


if __name__ == "__main__":
    allow_open_files()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with contextlib.suppress(asyncio.CancelledError):
        asyncio.run(serve())

"""The Google provider's own trigger for a Vertex AI job, with a service on this machine."""

from __future__ import annotations

import os
from typing import Any

import grpc
from airflow.providers.google.cloud.hooks.vertex_ai.batch_prediction_job import BatchPredictionJobAsyncHook
from airflow.providers.google.cloud.triggers.vertex_ai import CreateBatchPredictionJobTrigger
from google.cloud.aiplatform_v1.services.job_service import JobServiceAsyncClient
from google.cloud.aiplatform_v1.services.job_service.transports import JobServiceGrpcAsyncIOTransport


class Hook(BatchPredictionJobAsyncHook):
    """The provider's hook with another channel: without TLS, token and connection it has less to do."""

    async def get_job_service_client(self, region: str | None = None) -> JobServiceAsyncClient:  # noqa: ARG002 - the provider's signature
        """Return a client whose channel leads to ``BENCH_VERTEX``."""
        channel = grpc.aio.insecure_channel(os.environ["BENCH_VERTEX"])
        return JobServiceAsyncClient(transport=JobServiceGrpcAsyncIOTransport(channel=channel))


class Trigger(CreateBatchPredictionJobTrigger):
    """The provider's trigger, with that hook."""

    async_hook = Hook()

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return this class instead of the provider's."""
        _, known = super().serialize()
        return "bench.vertex_peer.Trigger", known

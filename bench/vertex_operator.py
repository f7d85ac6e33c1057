"""The Google provider's own operator for a Vertex AI job, with a service on this machine."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any, NoReturn

from airflow.providers.google.cloud.operators.vertex_ai.batch_prediction_job import CreateBatchPredictionJobOperator

from bench.vertex_peer import Trigger


class _Hook:
    """Sends no create request, and builds no client: the job exists."""

    def __init__(self, job: str) -> None:
        self._job = job

    def submit_batch_prediction_job(self, **_: Any) -> Any:
        return SimpleNamespace(name=self._job, wait_for_resource_creation=lambda: None)

    def extract_batch_prediction_job_id(self, job: dict[str, Any]) -> str:
        return str(job["name"]).rpartition("/")[2]


class Operator(CreateBatchPredictionJobOperator):
    """The provider's operator, deferrable, for a job that exists already. Only the submission is left out.

    :param job: its id (templated).
    :param poll_interval: seconds.
    """

    template_fields: Sequence[str] = ("job",)

    def __init__(self, *, job: str, poll_interval: int, **kwargs: Any) -> None:
        super().__init__(
            project_id="bench",
            region="us-central1",
            job_display_name="a job",
            model_name="a model",
            gcs_source="gs://bench/instances",
            gcs_destination_prefix="gs://bench/predictions",
            deferrable=True,
            poll_interval=poll_interval,
            **kwargs,
        )
        self.job = job

    @property
    def hook(self) -> Any:
        """The hook of the provider's code."""
        return _Hook(self.job)

    def defer(self, *, trigger: Any, **kwargs: Any) -> NoReturn:
        """Defer to the same trigger with the local service."""
        _, known = trigger.serialize()
        super().defer(trigger=Trigger(**known), **kwargs)

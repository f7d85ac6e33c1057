"""Jobs by the dozen, and triggers that wait for them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Self

import httpx
import structlog

from airflow_nbjobs.api.job import JobState
from airflow_nbjobs.emulator import Emulator
from airflow_nbjobs.triggers import NotebookExecutionJobTrigger
from airflow_nbjobs.watch.waiters import Waiter

LOCATION = "us-central1"
_BODY = {
    "displayName": "a job",
    "gcsNotebookSource": {"uri": "gs://notebooks/report.ipynb"},
    "customEnvironmentSpec": {},
    "serviceAccount": "runner@local.iam.gserviceaccount.com",
    "gcsOutputUri": "gs://results/runs",
}


class Service:
    """The emulator, as somebody else uses it: who makes jobs, ends them and deletes them."""

    def __init__(self, emulator: Emulator, project: str) -> None:
        self.emulator = emulator
        self.project = project
        self._http = httpx.Client(base_url=f"{emulator.url}/v1/", trust_env=False, timeout=60)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def create(self, count: int, *, project: str | None = None, **fields: Any) -> list[dict[str, Any]]:
        """Create jobs that go on until somebody ends them, and return them as the service shows them."""
        parent = f"projects/{project or self.project}/locations/{LOCATION}/notebookExecutionJobs"
        return [self._create(parent, {**_BODY, **fields}) for _ in range(count)]

    def _create(self, parent: str, body: dict[str, Any]) -> dict[str, Any]:
        answer = self._http.post(parent, json=body)
        assert answer.status_code == 200, answer.text
        return self.get(answer.json()["name"].partition("/operations/")[0])

    def get(self, name: str) -> dict[str, Any]:
        return dict(self._http.get(name).json())

    def end(self, jobs: Iterable[dict[str, Any]]) -> None:
        """End jobs, as CANCELLED, by their create operations."""
        for job in jobs:
            operation = self._http.get(f"{job['name']}/operations").json()["operations"][-1]["name"]
            assert self._http.post(f"{operation}:cancel").status_code == 200

    def succeed(self, job: dict[str, Any]) -> None:
        """End a job as SUCCEEDED."""
        self.emulator.play(job["name"].rpartition("/")[2], "JOB_STATE_SUCCEEDED")

    def delete(self, job: dict[str, Any]) -> None:
        assert self._http.delete(job["name"]).status_code == 200

    def asked(self) -> dict[str, int]:
        """Count the requests for jobs by method, and reset the counts."""
        counts = {method: sum(outcomes.values()) for method, outcomes in self.emulator.requests().items()}
        self.emulator.reset_requests()
        return {method: counts[method] for method in ("get", "list") if method in counts}


def trigger(job: dict[str, Any], **arguments: Any) -> NotebookExecutionJobTrigger:
    """Make the trigger that a create task would defer to."""
    return NotebookExecutionJobTrigger(
        **{"job_name": job["name"], "created_at": job.get("createTime"), "poll_interval": 0.2, **arguments}
    )


async def event(waiting: NotebookExecutionJobTrigger) -> tuple[str, str | None]:
    """Return the outcome and the state of the one event that a trigger yields."""
    events = [told.payload async for told in waiting.run()]
    assert len(events) == 1
    assert events[0]["job_name"] == waiting.job_name
    return events[0]["outcome"], events[0]["state"]


@contextmanager
def lines_of_tasks() -> Iterator[list[Any]]:
    """Capture the log with each line's context: it tells the lines of two tasks apart in a triggerer.

    ``structlog.testing.capture_logs`` keeps the context from 25.5 on, which Airflow 3.1.0 does not start with.
    """
    capture, processors = structlog.testing.LogCapture(), structlog.get_config()["processors"]
    before = processors.copy()
    try:
        processors[:] = [structlog.contextvars.merge_contextvars, capture]
        structlog.configure(processors=processors)
        yield capture.entries
    finally:
        processors[:] = before
        structlog.configure(processors=processors)


async def next_state(waiter: Waiter) -> JobState:
    """Return the next state that a waiter is told; outages are for the logs."""
    while not isinstance(report := await waiter.next_report(), JobState):
        pass
    return report

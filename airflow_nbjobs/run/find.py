"""Finding the jobs of a task, and of one submission."""

from __future__ import annotations

from datetime import UTC, datetime

from airflow_nbjobs.api import calls
from airflow_nbjobs.api.flows import Flow, all_pages
from airflow_nbjobs.api.job import NotebookExecutionJob

__all__ = ["created", "find_submitted", "is_submitted_as", "list_by_key"]

_LONG_AGO = datetime.min.replace(tzinfo=UTC)


def find_submitted(parent: str, job: NotebookExecutionJob) -> Flow[list[NotebookExecutionJob]]:
    """Return the jobs that one submission created, the oldest first; more than one after a lost answer."""
    listed = yield from list_by_key(parent, (job.display_name or "").rpartition("-")[2])
    return sorted((each for each in listed if is_submitted_as(each, job)), key=created)


def list_by_key(parent: str, key: str) -> Flow[list[NotebookExecutionJob]]:
    """Return the jobs whose display names end in a key; other jobs may be among them."""
    # The expression is right whether the service matches the whole name or a part of it.
    call = calls.list_jobs(
        parent, filter=f'displayName=~".*-{key}"', order_by="create_time desc", page_size=calls.PAGE_LIMIT
    )
    return (yield from all_pages(call))


def is_submitted_as(job: NotebookExecutionJob, sent: NotebookExecutionJob) -> bool:
    """Return whether a job is what this very submission created."""
    return job.labels.get("nbjobs-submit") == sent.labels["nbjobs-submit"]


def created(job: NotebookExecutionJob) -> datetime:
    """Return when a job was created; the beginning of time if that is not known."""
    return job.create_time or _LONG_AGO

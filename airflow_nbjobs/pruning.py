"""Deleting the records of jobs that are over: the service keeps them for good."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from airflow_nbjobs.api import calls
from airflow_nbjobs.api.client import Conversation
from airflow_nbjobs.api.job import NotebookExecutionJob
from airflow_nbjobs.exceptions import NotFoundError

__all__ = ["Pruning", "prune"]


@dataclass(frozen=True, kw_only=True)
class Pruning:
    """Which jobs to delete.

    :ivar deployment_label: value of the label ``nbjobs-deployment``; jobs without it are nobody's business.
    :ivar before: jobs that were last updated before this moment.
    :ivar include_active: jobs that are not over too; deleting one ends it.
    :ivar dry_run: delete nothing.
    """

    deployment_label: str
    before: datetime
    include_active: bool = False
    dry_run: bool = False

    def covers(self, job: NotebookExecutionJob) -> bool:
        """Tell whether a job is one of them."""
        return (
            job.labels.get("nbjobs-v") is not None
            and job.labels.get("nbjobs-deployment") == self.deployment_label
            and (self.include_active or job.job_state.is_terminal)
            and job.update_time is not None
            and job.update_time < self.before
        )


def prune(
    parent: str, pruning: Pruning, tell: Callable[[NotebookExecutionJob], None] = lambda _: None
) -> Conversation[list[NotebookExecutionJob]]:
    """Delete the jobs of a location that the pruning covers, the oldest first, and return them.

    Executed notebooks in Cloud Storage stay.

    :param parent: ``projects/p/locations/l``.
    :param tell: told each job before it is deleted, or would be.
    :raises ApiError: when the service refuses.
    """
    call = calls.list_jobs(parent, order_by="update_time", page_size=calls.PAGE_LIMIT)
    covered: list[NotebookExecutionJob] = []
    while True:
        page: calls.Page[NotebookExecutionJob] = yield call
        covered += [job for job in page.items if pruning.covers(job)]
        is_past = any(job.update_time is not None and job.update_time >= pruning.before for job in page.items)
        if is_past or not page.next_page_token:
            break
        call = call.with_page_token(page.next_page_token)
    for job in covered:
        tell(job)
        if not pruning.dry_run:
            try:
                yield calls.delete_job(job.name or "")
            except NotFoundError:
                continue  # somebody else was faster
    return covered

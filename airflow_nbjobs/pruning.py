"""Deleting the records of jobs that have ended: the service keeps them forever."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow_nbjobs.api import calls
from airflow_nbjobs.api.pacing import ENDURING
from airflow_nbjobs.exceptions import (
    ApiError,
    NotFoundError,
    RateLimitedError,
    TransportError,
    UnauthenticatedError,
    UnexpectedAnswerError,
)
from airflow_nbjobs.run.staging import unstage
from airflow_nbjobs.run.summary import describe

if TYPE_CHECKING:
    from airflow_nbjobs.api.job import NotebookExecutionJob
    from airflow_nbjobs.hooks import NotebookExecutionJobHook

__all__ = ["Pruning", "ago", "prune"]

_CENTURY = timedelta(days=36500).total_seconds()

_NOT_THE_JOBS_FAULT = (TransportError, UnauthenticatedError, UnexpectedAnswerError, RateLimitedError)
"""Errors that the next job would meet as well."""


@dataclass(frozen=True, kw_only=True)
class Pruning:
    """Which jobs to delete.

    :ivar deployment_label: value of the label ``nbjobs-deployment``; ``None`` for all jobs of this provider.
    :ivar before: jobs that were last updated before this moment.
    :ivar include_active: active jobs too; deleting one ends it.
    :ivar dry_run: delete nothing.
    """

    deployment_label: str | None
    before: datetime
    include_active: bool = False
    dry_run: bool = False

    def covers(self, job: NotebookExecutionJob) -> bool:
        """Return whether a job is one of them."""
        return (
            job.labels.get("nbjobs-v") is not None
            and self.deployment_label in (None, job.labels.get("nbjobs-deployment"))
            and (self.include_active or job.job_state.is_terminal)
            and job.update_time is not None
            and job.update_time < self.before
        )


def ago(seconds: float) -> datetime:
    """Return the moment so many seconds ago, at most a century: Python's dates have a beginning."""
    return datetime.now(UTC) - timedelta(seconds=min(seconds, _CENTURY))


def prune(
    hook: NotebookExecutionJobHook, location: str, project_id: str | None, pruning: Pruning, log: Any
) -> Iterator[str]:
    """Delete the jobs of a location that the pruning covers, the oldest first, and return the name of each.

    The staged copies of their notebooks are deleted too; executed notebooks in Cloud Storage stay. A failed deletion
    does not stop the others. A dry run returns the names of the jobs that would be deleted.

    :param log: a logger; one line for each job.
    :raises ApiError: if the jobs cannot be listed, if the service stops deleting jobs, or, at the end, if some jobs
        could not be deleted.
    """
    covered = _covered(hook, location, project_id, pruning)
    failures: list[tuple[NotebookExecutionJob, ApiError]] = []
    for job in covered:
        try:
            if not pruning.dry_run:
                _delete(job, hook, location)
        except _NOT_THE_JOBS_FAULT:
            raise
        except ApiError as error:
            log.warning("Failed to delete %s: %s", describe(job), error)
            failures.append((job, error))
            continue
        done = "would be deleted" if pruning.dry_run else "was deleted"
        since = f"{job.update_time:%Y-%m-%d %H:%M %Z}"
        log.info("%s, %s since %s, %s.", describe(job), job.job_state.word, since, done)
        if not pruning.dry_run:
            unstage(job, hook, log.warning)
        yield job.name or ""
    if failures:
        job, first = failures[0]
        raise first.with_message(
            f"{len(failures)} of {len(covered)} jobs could not be deleted. The first is {job.name}: {first.message}"
        ) from first


def _covered(
    hook: NotebookExecutionJobHook, location: str, project_id: str | None, pruning: Pruning
) -> list[NotebookExecutionJob]:
    """List the jobs from the oldest on, up to one that is too young, and return those that are covered."""
    call = calls.list_jobs(hook.parent(location, project_id), order_by="update_time", page_size=calls.PAGE_LIMIT)
    old = itertools.takewhile(
        lambda job: job.update_time is None or job.update_time < pruning.before,
        hook.client(location).pages(call, ENDURING),
    )
    return [job for job in old if pruning.covers(job)]


def _delete(job: NotebookExecutionJob, hook: NotebookExecutionJobHook, location: str) -> None:
    with contextlib.suppress(NotFoundError):  # somebody else was faster
        hook.client(location).send(calls.delete_job(job.name or ""), ENDURING)

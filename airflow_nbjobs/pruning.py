"""Deleting the records of jobs that are over: the service keeps them for good."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

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
from airflow_nbjobs.preparation import tidy
from airflow_nbjobs.settle import describe

if TYPE_CHECKING:
    from airflow_nbjobs.api.job import NotebookExecutionJob
    from airflow_nbjobs.hooks import NotebookExecutionJobHook

__all__ = ["Pruning", "ago", "prune"]

_CENTURY = timedelta(days=36500).total_seconds()

_NO_JOBS_FAULT = (TransportError, UnauthenticatedError, UnexpectedAnswerError, RateLimitedError)
"""What would be in the way of the next job as well."""


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


def ago(seconds: float) -> datetime:
    """Return the moment so long ago; at most a century, since no job is older and Python's dates have a beginning."""
    return datetime.now(UTC) - timedelta(seconds=min(seconds, _CENTURY))


def prune(
    hook: NotebookExecutionJobHook,
    location: str,
    project_id: str | None,
    pruning: Pruning,
    *,
    tell: Callable[..., object],
    warn: Callable[..., object],
) -> Iterator[str]:
    """Delete the jobs of a location that the pruning covers, the oldest first, and return each one's name once it is.

    What was staged for a job goes with it; executed notebooks in Cloud Storage stay. A job that cannot be deleted keeps
    no other one from it. A dry run returns the names of those that would be deleted.

    :param tell: told of each, as a logger's method is: a format and its values.
    :param warn: told so of what could not be deleted.
    :raises ApiError: when the jobs cannot be listed, or nothing can be deleted any more; and, when all others are
        deleted, for those that could not be.
    """
    covered = _covered(hook, location, project_id, pruning)
    failures: list[tuple[NotebookExecutionJob, ApiError]] = []
    for job in covered:
        try:
            if not pruning.dry_run:
                _delete(job, hook, location)
        except _NO_JOBS_FAULT:
            raise
        except ApiError as error:
            warn("%s could not be deleted: %s", describe(job), error)
            failures.append((job, error))
            continue
        _tell(job, pruning, tell)
        if not pruning.dry_run:
            tidy(job, hook, warn)
        yield job.name or ""
    if failures:
        raise _failed(failures, len(covered)) from failures[0][1]


def _covered(
    hook: NotebookExecutionJobHook, location: str, project_id: str | None, pruning: Pruning
) -> list[NotebookExecutionJob]:
    """List the jobs from the oldest on, up to one that is too young, and return those that are covered."""
    call = calls.list_jobs(hook.parent(location, project_id), order_by="update_time", page_size=calls.PAGE_LIMIT)
    covered: list[NotebookExecutionJob] = []
    while True:
        page = hook.client(location).send(call, ENDURING)
        covered += [job for job in page.items if pruning.covers(job)]
        is_past = any(job.update_time is not None and job.update_time >= pruning.before for job in page.items)
        if is_past or not page.next_page_token:
            return covered
        call = call.with_page_token(page.next_page_token)


def _delete(job: NotebookExecutionJob, hook: NotebookExecutionJobHook, location: str) -> None:
    with contextlib.suppress(NotFoundError):  # somebody else was faster
        hook.client(location).send(calls.delete_job(job.name or ""), ENDURING)


def _tell(job: NotebookExecutionJob, pruning: Pruning, tell: Callable[..., object]) -> None:
    since = f"{job.update_time:%Y-%m-%d %H:%M %Z}"
    done = "would be deleted" if pruning.dry_run else "was deleted"
    tell("%s, %s since %s, %s.", describe(job), job.job_state.word, since, done)


def _failed(failures: list[tuple[NotebookExecutionJob, ApiError]], count: int) -> ApiError:
    """Return the first job's error, which says how many there are."""
    job, error = failures[0]
    return type(error)(
        f"{len(failures)} of {count} jobs could not be deleted. The first is {job.name}: {error.message}",
        http_status=error.http_status,
        status=error.status,
        details=error.details,
    )

"""Waiting as flows: the same for a worker that sleeps and for a triggerer that awaits."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

from airflow_nbjobs.api import calls
from airflow_nbjobs.api.client import Flow, Sleep
from airflow_nbjobs.api.job import NotebookExecutionJob, Operation
from airflow_nbjobs.api.pacing import next_look
from airflow_nbjobs.exceptions import NotFoundError

__all__ = ["GRACE", "first_look", "wait_for_job", "wait_for_operation"]

GRACE = (0.5, 1.0, 2.0, 4.0)
"""Seconds between looks for a job that was just created: a read may be behind the write for a moment."""


def first_look(name: str) -> Flow[NotebookExecutionJob]:
    """Get a job that was just created.

    :raises ApiError: when the service refuses; NotFoundError when the job has not appeared after 7.5 seconds.
    """
    job: NotebookExecutionJob
    for pause in GRACE:
        try:
            job = yield calls.get_job(name)
        except NotFoundError:
            yield Sleep(pause)
        else:
            return job
    job = yield calls.get_job(name)
    return job


def wait_for_job(
    job: NotebookExecutionJob,
    poll_interval: float,
    *,
    deadline: datetime | None = None,
    clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    changed: Callable[[NotebookExecutionJob], None] = lambda _: None,
) -> Flow[NotebookExecutionJob]:
    """Wait until a job is over or its time is, and return it as it was last seen.

    :param job: as it was last seen; its name is needed.
    :param poll_interval: seconds between two looks.
    :param deadline: when to stop waiting; looked at once more then. Never without one.
    :param changed: told the job each time that its state is another.
    :raises ApiError: when the service cannot be asked.
    """
    seen: NotebookExecutionJob = job
    while not seen.job_state.is_terminal:
        remaining = None if deadline is None else (deadline - clock()).total_seconds()
        if remaining is not None and remaining <= 0:
            break
        yield Sleep(next_look(poll_interval, remaining))
        before, seen = seen, (yield calls.get_job(job.name or ""))
        if seen.job_state != before.job_state:
            changed(seen)
    return seen


def wait_for_operation(operation: Operation, poll_interval: float) -> Flow[Operation]:
    """Wait until an operation is done; one that is gone with the job it belonged to counts as done.

    :param poll_interval: seconds between two looks.
    :raises ApiError: when the service cannot be asked.
    """
    seen: Operation = operation
    while not seen.done:
        yield Sleep(poll_interval)
        try:
            seen = yield calls.get_operation(operation.name)
        except NotFoundError:
            break
    return seen

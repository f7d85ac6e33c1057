"""Waiting as flows: the same for a worker that sleeps and for a triggerer that awaits."""

from __future__ import annotations

from collections.abc import Callable

from airflow_nbjobs.api import calls
from airflow_nbjobs.api.flows import Flow, Sleep
from airflow_nbjobs.api.job import NotebookExecutionJob, Operation
from airflow_nbjobs.api.pacing import next_look
from airflow_nbjobs.exceptions import NotFoundError

__all__ = ["GRACE", "first_look", "wait_for_job", "wait_for_operation"]

GRACE = (0.5, 1.0, 2.0, 4.0)
"""Seconds between looks for a job that was just created: a read may be behind its create."""


def first_look(name: str) -> Flow[NotebookExecutionJob]:
    """Get a job that was just created.

    :raises ApiError: if the service refuses; NotFoundError if the job has not appeared after 7.5 seconds.
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
    changed: Callable[[NotebookExecutionJob], None] = lambda _: None,
) -> Flow[NotebookExecutionJob]:
    """Wait until a job has ended, and return it.

    :param job: as it was last seen; its name is needed.
    :param poll_interval: seconds between two looks.
    :param changed: called with the job each time that its state changes.
    :raises ApiError: if the service cannot be asked.
    """
    seen: NotebookExecutionJob = job
    while not seen.job_state.is_terminal:
        yield Sleep(next_look(poll_interval))
        before, seen = seen, (yield calls.get_job(job.name or ""))
        if seen.job_state != before.job_state:
            changed(seen)
    return seen


def wait_for_operation(operation: Operation, poll_interval: float) -> Flow[Operation]:
    """Wait until an operation is done, and return it; one that no longer exists counts as done.

    :param poll_interval: seconds between two looks.
    :raises ApiError: if the service cannot be asked.
    """
    seen: Operation = operation
    while not seen.done:
        yield Sleep(poll_interval)
        try:
            seen = yield calls.get_operation(operation.name)
        except NotFoundError:
            break
    return seen

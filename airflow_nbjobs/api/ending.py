"""Ending a job that nobody wants any more.

The API has no method for it, and does not document what its means do to a running job: cancelling the create operation
is "best effort", and deleting is said to delete. So one is tried, looked after, and then the other. It is one place,
because a live project may teach us better.
"""

from __future__ import annotations

import contextlib
from collections.abc import Generator
from typing import Any, Literal

from airflow_nbjobs.api import calls
from airflow_nbjobs.api.client import Conversation, Pause
from airflow_nbjobs.api.job import JobState, NotebookExecutionJob, Operation
from airflow_nbjobs.exceptions import (
    ApiError,
    InvalidArgumentError,
    InvalidNotebookJobError,
    NotFoundError,
    NotImplementedByServiceError,
)

__all__ = ["KillPolicy", "check_kill_policy", "end_job"]

KillPolicy = Literal["cancel", "delete", "leave"]
"""
What becomes of the remote job when its task is killed.

``cancel`` cancels its create operation, and deletes the job if that does not end it; ``delete`` deletes it at once (its
record is gone with it); ``leave`` lets it run.
"""

_POLICIES: dict[str, KillPolicy] = {"cancel": "cancel", "delete": "delete", "leave": "leave"}

_LOOKS = (0.2, 0.4, 0.7, 1.0)
"""Seconds before each look whether a cancelled job leaves its active state: 2.3 in all, of the 5 a killed task has."""

_ON_ITS_WAY = frozenset({JobState.CANCELLING.value})


def check_kill_policy(kill: str) -> KillPolicy:
    """Return ``kill`` when it is a policy.

    :raises InvalidNotebookJobError: otherwise.
    """
    if policy := _POLICIES.get(kill):
        return policy
    raise InvalidNotebookJobError(f"kill={kill!r} is not a policy: give 'cancel', 'delete' or 'leave'.")


def end_job(name: str, operation_name: str | None, kill: KillPolicy) -> Conversation[str]:
    """End a job by the policy, and return what became of it, as the rest of a sentence that begins with the job.

    :param operation_name: its create operation; looked up when it is not known.
    :raises ApiError: when the service cannot be told.
    """
    if kill == "leave":
        return "is left running (kill='leave')"
    try:
        if kill == "cancel" and (yield from _cancel(name, operation_name)):
            return "was cancelled"
        yield calls.delete_job(name)
    except NotFoundError:
        return "is gone already"
    return "was deleted"


def _cancel(name: str, operation_name: str | None) -> Generator[calls.Call[Any] | Pause, Any, bool]:
    """Cancel the create operation; tell whether the job leaves its active state."""
    job: NotebookExecutionJob
    operation = operation_name or (yield from _create_operation(name))
    if operation is not None:
        # When there is nothing to cancel, or no cancelling, what the job does now decides.
        with contextlib.suppress(NotFoundError, NotImplementedByServiceError, InvalidArgumentError):
            yield calls.cancel_operation(operation)
    for pause in _LOOKS:
        job = yield calls.get_job(name)
        if job.job_state.is_terminal or job.job_state.value in _ON_ITS_WAY:
            return True
        if operation is None:
            return False
        yield Pause(pause)
    job = yield calls.get_job(name)
    return job.job_state.is_terminal or job.job_state.value in _ON_ITS_WAY


def _create_operation(name: str) -> Generator[calls.Call[Any], Any, str | None]:
    try:
        page: calls.Page[Operation] = yield calls.list_operations(name)
    except ApiError:
        return None
    return next((operation.name for operation in page.items if not operation.done), None)

"""Ending a job that nobody wants any more.

The API has no method for it, and does not document what its means do to a running job: cancelling the create operation
is "best effort", and deleting is said to delete. So one is tried, looked after, and then the other. It is one place,
because a live project may teach us better.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any, Literal

from airflow_nbjobs.api import calls
from airflow_nbjobs.api.client import Flow, Sleep
from airflow_nbjobs.api.job import JobState, NotebookExecutionJob, Operation
from airflow_nbjobs.exceptions import (
    ApiError,
    CredentialsError,
    InvalidNotebookJobError,
    NotFoundError,
    TransportError,
)

__all__ = ["KillPolicy", "check_kill_policy", "end_job"]

KillPolicy = Literal["cancel", "delete", "leave"]
"""
What becomes of the remote job when its task is killed.

``cancel`` cancels its create operation, and deletes the job if that does not end it; ``delete`` deletes it at once (its
record is gone with it); ``leave`` lets it run. A job that is over is left as it is: a retry may want its result.
"""

_POLICIES: dict[str, KillPolicy] = {"cancel": "cancel", "delete": "delete", "leave": "leave"}

_LOOKS = (0.2, 0.4, 0.7, 1.0)
"""Seconds before each look whether a cancelled job leaves its active state."""

_UNSEEN = JobState.UNSPECIFIED

_CANCELLED = frozenset({JobState.CANCELLING.value, JobState.CANCELLED.value})


def check_kill_policy(kill: str) -> KillPolicy:
    """Return ``kill`` when it is a policy.

    :raises InvalidNotebookJobError: otherwise.
    """
    if policy := _POLICIES.get(kill):
        return policy
    raise InvalidNotebookJobError(f"kill={kill!r} is not a policy: give 'cancel', 'delete' or 'leave'.")


def end_job(
    name: str,
    operation_name: str | None,
    kill: KillPolicy,
    *,
    is_late: Callable[[], bool] = lambda: False,
    must_see: bool = False,
) -> Flow[str]:
    """End a job by the policy, and return what became of it, as the rest of a sentence that begins with the job.

    :param operation_name: its create operation; looked up when it is not known.
    :param is_late: tells when a cancellation was given long enough to work.
    :param must_see: whether it is an error not to see what came of a cancellation: something else begins after it.
    :raises ApiError: when the service cannot be told.
    """
    if kill == "leave":
        return "is left running (kill='leave')"
    try:
        if kill == "cancel":
            is_told = yield from _tell(name, operation_name)
            try:
                state = yield from _look_after(name, is_told, is_late)
            except (ApiError, CredentialsError) as error:
                if must_see or not is_told:
                    raise
                return f"was cancelled, and whether it ends could not be seen ({error})"
            if state.value in _CANCELLED:
                return "was cancelled"
        else:
            state = yield from _look_after(name, False, is_late)
        if state.is_terminal:
            return f"is over already ({state.word})"
        yield calls.delete_job(name)
    except NotFoundError:
        return "is gone already"
    return "was deleted"


def _look_after(
    name: str, is_told: bool, is_late: Callable[[], bool]
) -> Generator[calls.Call[Any] | Sleep, Any, JobState]:
    """Return the job's state after it had time to leave its active one, if its cancellation was taken.

    One that is not found is looked for again, too: it may be over, and keeps its record then.
    """
    state = yield from _look(name)
    for pause in _LOOKS:
        is_ending = is_told and not (state.is_terminal or state.value in _CANCELLED)
        if is_late() or not (is_ending or state is _UNSEEN):
            break
        yield Sleep(pause)
        state = yield from _look(name)
    return state


def _look(name: str) -> Generator[calls.Call[Any], Any, JobState]:
    """Return the job's state; it is not known of one that is not found: gone, or reads are behind its create."""
    try:
        job: NotebookExecutionJob = yield calls.get_job(name)
    except NotFoundError:
        return _UNSEEN
    return job.job_state


def _tell(name: str, operation_name: str | None) -> Generator[calls.Call[Any], Any, bool]:
    """Cancel the create operation; tell whether the service took that."""
    operation = operation_name or (yield from _create_operation(name))
    if operation is None:
        return False
    try:
        yield calls.cancel_operation(operation)
    except TransportError:
        raise  # nobody answers: there is nobody to ask for anything else
    except ApiError:
        return False  # there is nothing to cancel, or no cancelling: what the job does now decides
    return True


def _create_operation(name: str) -> Generator[calls.Call[Any], Any, str | None]:
    try:
        page: calls.Page[Operation] = yield calls.list_operations(name)
    except ApiError:
        return None
    return next((each.name for each in page.items if not each.done and not _is_deletion(each)), None)


def _is_deletion(operation: Operation) -> bool:
    return str((operation.metadata or {}).get("@type")).endswith(".DeleteOperationMetadata")

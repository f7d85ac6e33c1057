"""Ending jobs that no task waits for: the calls that carry out a kill policy.

The API has no method to cancel a job. It has two other means, and documents the effect of neither on a running job:
canceling the create operation is "best effort", and deleting the job. Therefore the operation is canceled, the job's
state is checked, and a job that is still active is deleted.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from enum import Enum

from airflow_nbjobs.api import calls
from airflow_nbjobs.api.flows import Flow, Sleep
from airflow_nbjobs.api.job import JobState, NotebookExecutionJob, Operation
from airflow_nbjobs.exceptions import (
    ApiError,
    CredentialsError,
    NotFoundError,
    TransportError,
)
from airflow_nbjobs.run.adopt import decide
from airflow_nbjobs.run.argument_rules import KillPolicy
from airflow_nbjobs.run.find import is_submitted_as, list_by_key
from airflow_nbjobs.run.identity import TaskIdentity

__all__ = [
    "CANCEL_SECONDS",
    "FIND_SECONDS",
    "Ending",
    "EndingKind",
    "abandon",
    "describe_endings",
    "end_job",
    "end_jobs",
]

_LOOKS = (0.2, 0.4, 0.7, 1.0)
"""Seconds before each look whether a canceled job has left its active state."""

_FINDS = (0.0, 1.0, 1.0)
"""Seconds before each look for a job whose create request may still be on its way."""

CANCEL_SECONDS, FIND_SECONDS = sum(_LOOKS), sum(_FINDS)

_ENDED_BY_CANCEL = frozenset({JobState.CANCELLING.value, JobState.CANCELLED.value})


class EndingKind(Enum):
    """What happened to a job that should end; the values complete a sentence whose subject is the job."""

    CANCELED = "was canceled"
    UNVERIFIED = "was canceled, but its state could not be read afterwards"
    DELETED = "was deleted"
    ENDED_BEFORE = "had already ended"
    GONE = "no longer exists"
    LEFT = "keeps running, since kill='leave'"
    KEPT = "keeps running, and the retry re-attaches to it"
    FAILED = "could not be ended and may still run"
    NO_TIME = "could not be ended in time and may still run"
    NOT_FOUND = "was not found"


@dataclass(frozen=True)
class Ending:
    """What happened to a job that should end.

    :ivar detail: the state of a job that had ended before, or the error.
    """

    kind: EndingKind
    detail: str = ""

    @property
    def was_ended(self) -> bool:
        """Whether the job was ended here, as far as is known."""
        return self.kind in {EndingKind.CANCELED, EndingKind.UNVERIFIED, EndingKind.DELETED}

    def __str__(self) -> str:
        """Return the rest of a sentence whose subject is the job."""
        return f"{self.kind.value} ({self.detail})" if self.detail else self.kind.value


def describe_endings(endings: Mapping[str, Ending], cause: str = "") -> str:
    """Return a clause for logs and errors: what happened to each job.

    :param endings: by the names of the jobs; empty if no job was found.
    :param cause: why they were ended, as a clause.
    """
    ended = "; ".join(f"{name} {ending}" for name, ending in endings.items())
    return f"{ended or f'its job {Ending(EndingKind.NOT_FOUND)}'}{f', since {cause}' if cause else ''}"


def end_job(
    name: str,
    operation_name: str | None,
    kill: KillPolicy,
    *,
    cancel_until: float = float("inf"),
    must_see: bool = False,
) -> Flow[Ending]:
    """End a job by the kill policy.

    :param name: resource name of the job.
    :param operation_name: its create operation; it is looked up if it is not known.
    :param cancel_until: moment of :func:`time.monotonic` after which the flow does not wait for a cancellation.
    :param must_see: raise if the state after a cancellation cannot be read: another job follows this one.
    :raises ApiError: if the service refuses or cannot be reached.
    """
    if kill == "leave":
        return Ending(EndingKind.LEFT)
    try:
        is_taken = kill == "cancel" and (yield from _cancel(name, operation_name))
        try:
            state = yield from _state_after_cancel(name, is_taken, cancel_until)
        except (ApiError, CredentialsError) as error:
            if must_see or not is_taken:
                raise
            return Ending(EndingKind.UNVERIFIED, str(error))
        if kill == "cancel" and state.value in _ENDED_BY_CANCEL:
            return Ending(EndingKind.CANCELED)
        if state.is_terminal:
            return Ending(EndingKind.ENDED_BEFORE, state.word)
        yield calls.delete_job(name)
    except NotFoundError:
        return Ending(EndingKind.GONE)
    return Ending(EndingKind.DELETED)


def end_jobs(jobs: Iterable[NotebookExecutionJob], kill: KillPolicy, *, cancel_until: float) -> Flow[dict[str, Ending]]:
    """End several jobs; one that cannot be ended does not keep the others from it.

    :returns: what happened, by the jobs' names.
    :raises TransportError: if the service cannot be reached.
    """
    endings: dict[str, Ending] = {}
    for name in dict.fromkeys(job.name or "" for job in jobs):
        try:
            endings[name] = yield from end_job(name, None, kill, cancel_until=cancel_until)
        except TransportError:
            raise
        except ApiError as error:
            endings[name] = Ending(EndingKind.FAILED, str(error))
    return endings


def abandon(
    parent: str,
    task: TaskIdentity,
    job: NotebookExecutionJob | None,
    kill: KillPolicy,
    *,
    cancel_until: float = float("inf"),
) -> Flow[dict[str, Ending]]:
    """End what this try and earlier ones have left.

    :param parent: ``projects/p/locations/l``.
    :param job: the job that is being submitted. Its create request may be on its way, therefore the job is looked for
        during some two seconds. ``None`` if nothing is being submitted.
    :param cancel_until: moment of :func:`time.monotonic` after which the flow does not wait for a cancellation.
    :returns: what happened, by the jobs' names.
    :raises ApiError: if the service refuses or cannot be reached.
    """
    # For a task that is over, all of its tries are earlier ones.
    over = replace(task, try_number=task.try_number + 1, is_adopting=False, instance=None)
    endings: dict[str, Ending] = {}
    for pause in _FINDS if job is not None else (0.0,):
        yield Sleep(pause)
        jobs = yield from list_by_key(parent, task.key)
        made = [each for each in jobs if job is not None and is_submitted_as(each, job)]
        endings |= yield from end_jobs([*decide(jobs, over, "").end, *made], kill, cancel_until=cancel_until)
        if made:
            break
    return endings


def _state_after_cancel(name: str, is_taken: bool, cancel_until: float) -> Flow[JobState]:
    """Return the job's state, after time to leave its active state if the service took the cancellation.

    A job that is not found is looked for again: a read may be behind its create.
    """
    state = yield from _state(name)
    for pause in _LOOKS:
        is_active = not (state.is_terminal or state.value in _ENDED_BY_CANCEL)
        if time.monotonic() >= cancel_until or not ((is_taken and is_active) or state is JobState.UNSPECIFIED):
            break
        yield Sleep(pause)
        state = yield from _state(name)
    return state


def _state(name: str) -> Flow[JobState]:
    """Return the job's state, ``UNSPECIFIED`` if the job is not found."""
    try:
        job: NotebookExecutionJob = yield calls.get_job(name)
    except NotFoundError:
        return JobState.UNSPECIFIED
    return job.job_state


def _cancel(name: str, operation_name: str | None) -> Flow[bool]:
    """Cancel the create operation, and return whether the service accepted that."""
    operation = operation_name or (yield from _create_operation(name))
    if operation is None:
        return False
    try:
        yield calls.cancel_operation(operation)
    except TransportError:
        raise
    except ApiError:
        return False  # the operation has ended, or it cannot be canceled: the job's state decides
    return True


def _create_operation(name: str) -> Flow[str | None]:
    try:
        page: calls.Page[Operation] = yield calls.list_operations(name)
    except ApiError:
        return None
    return next((each.name for each in page.items if not each.done and not _is_deletion(each)), None)


def _is_deletion(operation: Operation) -> bool:
    return str((operation.metadata or {}).get("@type")).endswith(".DeleteOperationMetadata")

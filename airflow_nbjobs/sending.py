"""Sending a create, whose answer may be lost: then the job is looked for, and not paid for twice."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TypeVar

from airflow_nbjobs.api import calls
from airflow_nbjobs.api.client import Flow, Sleep
from airflow_nbjobs.api.ending import KillPolicy, end_job
from airflow_nbjobs.api.job import NotebookExecutionJob, Operation
from airflow_nbjobs.api.names import job_of_operation, same_job
from airflow_nbjobs.exceptions import (
    AlreadyExistsError,
    ApiError,
    CredentialsError,
    LostAnswerError,
    TransportError,
    UnavailableError,
    UnexpectedAnswerError,
)

__all__ = [
    "LOOKS",
    "Sending",
    "Submitted",
    "create",
    "create_named",
    "created",
    "find_submitted",
    "is_submitted_as",
    "list_by_key",
]

T = TypeVar("T")

LOOKS = (4.0, 5.0, 7.0)
"""Seconds before each look for a job whose create got no answer: three looks over sixteen seconds."""

_CREATES = 3
"""Times that a create is sent whose answers are lost, when the service picks the id."""

_Lost = TransportError | UnavailableError | UnexpectedAnswerError

_LONG_AGO = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, kw_only=True)
class Submitted:
    """The one job of a try.

    :ivar operation_name: its create operation; ``None`` for an adopted job, whose operations can be listed.
    """

    job: NotebookExecutionJob
    operation_name: str | None
    is_adopted: bool


@dataclass(frozen=True, kw_only=True)
class Sending:
    """A create, and what goes with it.

    :ivar parent: ``projects/p/locations/l``.
    :ivar kill: how a second job of one create is ended.
    :ivar tell: told what a person should know, in sentences.
    :ivar check: called each time before the create is sent; what it raises ends the submission.
    """

    parent: str
    job: NotebookExecutionJob
    kill: KillPolicy
    tell: Callable[[str], None]
    check: Callable[[], None]

    def once(self, job_id: str | None = None) -> Flow[Operation | _Lost]:
        """Send it once; return the error when its answer was lost."""
        try:
            operation: Operation = yield replace(calls.create_job(self.parent, self.job, job_id), check=self.check)
        except (TransportError, UnavailableError, UnexpectedAnswerError) as error:
            if isinstance(error, TransportError) and not error.was_sent:
                raise
            self.tell(f"The answer to the create was lost ({error}). Looking whether the job was made.")
            return error
        return operation


def create(sending: Sending) -> Flow[Submitted]:
    """Create the job; one whose answer was lost is looked for before it is created again.

    :raises ApiError: when the service refuses.
    :raises LostAnswerError: when it refuses, or there is no job to be seen, after an answer was lost.
    """
    lost: _Lost | None = None
    for _ in range(_CREATES):
        answer = yield from (sending.once() if lost is None else _uncertain(sending.once(), lost))
        if isinstance(answer, Operation):
            made = replace(sending.job, name=str(job_of_operation(answer.name)))
            if lost is not None:
                made = yield from _uncertain(_look_for_older(sending, made), lost)
            return Submitted(job=made, operation_name=_operation_of(made, answer), is_adopted=False)
        lost = answer
        if (found := (yield from _uncertain(_look_for_lost(sending), lost))) is not None:
            return Submitted(job=found, operation_name=None, is_adopted=False)
    raise LostAnswerError(f"{_CREATES} creates got no answer, the last: {lost}. No job of theirs is to be seen.")


def create_named(sending: Sending, job_id: str) -> Flow[Submitted]:
    """Create the job with an id of its own: after a lost answer the id itself tells whether the job was made.

    :raises AlreadyExistsError: when a job has the id; it may be the one that was created here.
    :raises ApiError: when the service refuses.
    :raises LostAnswerError: when it refuses after an answer was lost, or no answer comes.
    """
    lost: _Lost | None = None
    for pause in (*LOOKS, None):
        answer = yield from (sending.once(job_id) if lost is None else _uncertain(sending.once(job_id), lost))
        if isinstance(answer, Operation):
            made = replace(sending.job, name=str(job_of_operation(answer.name)))
            return Submitted(job=made, operation_name=answer.name, is_adopted=False)
        lost = answer
        if pause is not None:
            yield Sleep(pause)
    raise LostAnswerError(f"{len(LOOKS) + 1} creates of {job_id} got no answer, the last: {lost}")


def _uncertain(asking: Flow[T], lost: _Lost) -> Flow[T]:
    """Ask after an answer was lost: a refusal now leaves open whether there is a job."""
    try:
        return (yield from asking)
    except AlreadyExistsError:
        raise  # that is an answer
    except (ApiError, CredentialsError) as error:
        raise LostAnswerError(
            f"The answer to the create was lost ({lost}), and whether the job was made cannot be found out: {error}"
        ) from error


def _look_for_lost(sending: Sending) -> Flow[NotebookExecutionJob | None]:
    for pause in LOOKS:
        yield Sleep(pause)
        if twins := (yield from find_submitted(sending.parent, sending.job)):
            return (yield from _keep_oldest(sending, twins))
    return None


def _look_for_older(sending: Sending, made: NotebookExecutionJob) -> Flow[NotebookExecutionJob]:
    """After a create that was sent twice: return the oldest job that it made; a list may not show the last one yet."""
    twins = yield from find_submitted(sending.parent, sending.job)
    is_shown = any(same_job(each.name or "", made.name or "") for each in twins)
    return (yield from _keep_oldest(sending, twins if is_shown else [*twins, made]))


def _keep_oldest(sending: Sending, twins: list[NotebookExecutionJob]) -> Flow[NotebookExecutionJob]:
    """Return the first of several jobs of one create, and end the others."""
    for younger in twins[1:]:
        # Even a policy that leaves jobs to run does not pay twice for one.
        kill: KillPolicy = "cancel" if sending.kill == "leave" else sending.kill
        became = yield from end_job(younger.name or "", None, kill, must_see=True)
        sending.tell(f"The create was carried out twice: the younger job {younger.name} {became}.")
    return twins[0]


def find_submitted(parent: str, job: NotebookExecutionJob) -> Flow[list[NotebookExecutionJob]]:
    """Return the jobs that one submission made, the oldest first: none, one, or by a lost answer more."""
    listed = yield from list_by_key(parent, (job.display_name or "").rpartition("-")[2])
    return sorted((each for each in listed if is_submitted_as(each, job)), key=created)


def _operation_of(job: NotebookExecutionJob, operation: Operation) -> str | None:
    return operation.name if same_job(job.name or "", str(job_of_operation(operation.name))) else None


def list_by_key(parent: str, key: str) -> Flow[list[NotebookExecutionJob]]:
    """Return the jobs whose display names end in a key; a few others may be among them."""
    # The expression is right whether the service matches the whole name or a part of it.
    call = calls.list_jobs(
        parent, filter=f'displayName=~".*-{key}"', order_by="create_time desc", page_size=calls.PAGE_LIMIT
    )
    jobs: list[NotebookExecutionJob] = []
    while True:
        page: calls.Page[NotebookExecutionJob] = yield call
        jobs += page.items
        if not page.next_page_token:
            return jobs
        call = call.with_page_token(page.next_page_token)


def is_submitted_as(job: NotebookExecutionJob, request: NotebookExecutionJob) -> bool:
    """Tell whether a job is what this very submission made."""
    return job.labels.get("nbjobs-submit") == request.labels["nbjobs-submit"]


def created(job: NotebookExecutionJob) -> datetime:
    """Return when a job was made, or the beginning of time."""
    return job.create_time or _LONG_AGO

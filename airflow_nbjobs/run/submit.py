"""Submitting a job exactly once: adopt the one that exists, or create one, also if the answer to the create is lost.

All functions are flows over API calls. What is adopted and what is ended: :mod:`airflow_nbjobs.run.adopt`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypeVar

from airflow_nbjobs.api import calls
from airflow_nbjobs.api.flows import Flow, Sleep
from airflow_nbjobs.api.job import NotebookExecutionJob, Operation
from airflow_nbjobs.api.names import job_of_operation, same_job
from airflow_nbjobs.api.waiting import first_look
from airflow_nbjobs.exceptions import (
    AlreadyExistsError,
    ApiError,
    CredentialsError,
    LostAnswerError,
    NotFoundError,
    RateLimitedError,
    TransportError,
    UnavailableError,
    UnexpectedAnswerError,
)
from airflow_nbjobs.run.adopt import Decision, decide, refuse_if_overtaken
from airflow_nbjobs.run.argument_rules import KillPolicy
from airflow_nbjobs.run.end_job import end_job
from airflow_nbjobs.run.find import find_submitted, is_submitted_as, list_by_key
from airflow_nbjobs.run.identity import TaskIdentity, try_of

__all__ = ["LOOKS", "Request", "Submitted", "submit"]

T = TypeVar("T")

LOOKS = (4.0, 5.0, 7.0)
"""Seconds before each look for a job whose create request got no answer: three looks in sixteen seconds."""

_CREATES = 3
"""How often a create request is sent whose answers are lost, if the service picks the id."""

_Lost = TransportError | UnavailableError | UnexpectedAnswerError


@dataclass(frozen=True, kw_only=True)
class Submitted:
    """The one job of a try.

    :ivar operation_name: its create operation; ``None`` if it is not known, then it can be looked up.
    """

    job: NotebookExecutionJob
    operation_name: str | None
    is_adopted: bool


@dataclass(frozen=True, kw_only=True)
class Request:
    """What a try submits.

    :ivar parent: ``projects/p/locations/l``.
    :ivar job: the job with the task's display name and labels.
    :ivar task: who submits it.
    :ivar kill: how jobs are ended that no task waits for.
    :ivar job_ids: ids for the job, in the order in which they are tried; ``None`` lets the service pick one.
    :ivar takes_failed: adopt a FAILED job if there is no other one.
    :ivar warn: called with sentences that people should read.
    :ivar check: called before each create request; an exception ends the submission.
    """

    parent: str
    job: NotebookExecutionJob
    task: TaskIdentity
    kill: KillPolicy
    job_ids: tuple[str | None, ...] = (None,)
    takes_failed: bool = False
    warn: Callable[[str], None] = lambda _: None
    check: Callable[[], None] = lambda: None

    @property
    def hash(self) -> str:
        """The hash of what the user asked for."""
        return self.job.labels["nbjobs-request"]


def submit(request: Request) -> Flow[Submitted]:
    """Return the one job of this try: adopted, or created.

    :raises ApiError: if the service refuses, or cannot be reached for too long.
    :raises LostAnswerError: if it cannot be found out whether a create request was carried out.
    :raises NbjobsError: if a later try of the task has already created a job.
    """
    task = request.task
    # If the client chooses the id, the create request of a first try finds the job of another process by itself.
    may_exist = request.job_ids == (None,) and task.instance is not None
    if not task.is_first_process or request.takes_failed or may_exist:
        decision = yield from _look(request)
        yield from _end_unwanted(decision, request)
        if decision.adopt is not None:
            return Submitted(job=decision.adopt, operation_name=None, is_adopted=True)
    taken: AlreadyExistsError | None = None
    for job_id in request.job_ids:
        try:
            return (yield from (_create(request) if job_id is None else _create_or_take(request, job_id)))
        except AlreadyExistsError as error:
            taken = error
    raise taken or AssertionError("There is no id to create the job with.")


def _look(request: Request) -> Flow[Decision]:
    """Look at the task's jobs; once more at the end of :data:`LOOKS` if the job of the try before may still appear."""
    task = request.task
    for pause in (0.0, sum(LOOKS)):
        yield Sleep(pause)
        try:
            jobs = yield from list_by_key(request.parent, task.key)
        except ApiError as error:
            if not task.is_first_process or (error.is_transient and not isinstance(error, RateLimitedError)):
                raise
            request.warn(f"Failed to look for a job that another process of this try may have created: {error}")
            jobs = []
        refuse_if_overtaken(jobs, task)
        decision = decide(jobs, task, request.hash, takes_failed=request.takes_failed)
        if decision.is_complete:
            break
    return decision


def _end_unwanted(decision: Decision, request: Request) -> Flow[None]:
    for job in decision.end:
        ending = yield from end_job(job.name or "", None, request.kill, must_see=True)
        request.warn(f"The orphaned job {job.name} of try {try_of(job)} {ending}.")


def _create(request: Request) -> Flow[Submitted]:
    """Create the job; one whose answer was lost is looked for before it is created again.

    :raises ApiError: if the service refuses.
    :raises LostAnswerError: if it refuses, or the job cannot be found, after an answer was lost.
    """
    lost: _Lost | None = None
    for _ in range(_CREATES):
        answer = yield from (_send(request) if lost is None else _uncertain(_send(request), lost))
        if isinstance(answer, Operation):
            made = _made(request, answer)
            if lost is not None:
                made = yield from _uncertain(_look_for_older(request, made), lost)
            is_own = same_job(made.name or "", str(job_of_operation(answer.name)))
            return Submitted(job=made, operation_name=answer.name if is_own else None, is_adopted=False)
        lost = answer
        if (found := (yield from _uncertain(_look_for_lost(request), lost))) is not None:
            return Submitted(job=found, operation_name=None, is_adopted=False)
    raise LostAnswerError(f"{_CREATES} create requests got no answer, and no job of theirs was found. Last: {lost}.")


def _create_or_take(request: Request, job_id: str) -> Flow[Submitted]:
    """Create the job with a chosen id, or take the job that has the id if this try may.

    :raises AlreadyExistsError: if it may not.
    :raises LostAnswerError: if the job that has the id cannot be read. A job that is being deleted keeps its id for a
        while.
    """
    for is_last in (False, True):
        try:
            return (yield from _create_named(request, job_id))
        except AlreadyExistsError as error:
            taken = error
        try:
            existing = yield from first_look(f"{request.parent}/notebookExecutionJobs/{job_id}")
        except NotFoundError as unseen:
            if is_last:
                raise LostAnswerError(
                    f"The id {job_id} is taken, but the job that has it cannot be read. It may be this task's own."
                ) from unseen
            continue
        if is_submitted_as(existing, request.job):
            return Submitted(job=existing, operation_name=None, is_adopted=False)
        refuse_if_overtaken([existing], request.task)
        decision = decide([existing], request.task, request.hash)
        yield from _end_unwanted(decision, request)
        if decision.adopt is not None:
            return Submitted(job=decision.adopt, operation_name=None, is_adopted=True)
        break
    raise taken


def _create_named(request: Request, job_id: str) -> Flow[Submitted]:
    """Create the job with a chosen id: after a lost answer, the id shows whether the job was created.

    :raises AlreadyExistsError: if a job has the id; it may be the one that was created here.
    :raises ApiError: if the service refuses.
    :raises LostAnswerError: if it refuses after an answer was lost, or no answer comes.
    """
    lost: _Lost | None = None
    for pause in (*LOOKS, None):
        answer = yield from (_send(request, job_id) if lost is None else _uncertain(_send(request, job_id), lost))
        if isinstance(answer, Operation):
            made = _made(request, answer)
            return Submitted(job=made, operation_name=answer.name, is_adopted=False)
        lost = answer
        if pause is not None:
            yield Sleep(pause)
    raise LostAnswerError(f"{len(LOOKS) + 1} create requests for {job_id} got no answer. Last: {lost}")


def _send(request: Request, job_id: str | None = None) -> Flow[Operation | _Lost]:
    """Send the create request once; return the error if its answer was lost."""
    call = replace(calls.create_job(request.parent, request.job, job_id), check=request.check)
    try:
        operation: Operation = yield call
    except (TransportError, UnavailableError, UnexpectedAnswerError) as error:
        if isinstance(error, TransportError) and not error.was_sent:
            raise
        request.warn(f"The answer to the create request was lost ({error}). Looking for the job.")
        return error
    return operation


def _uncertain(flow: Flow[T], lost: _Lost) -> Flow[T]:
    """Run a flow after an answer was lost: a refusal now does not tell whether the job exists."""
    try:
        return (yield from flow)
    except AlreadyExistsError:
        raise  # the job exists
    except (ApiError, CredentialsError) as error:
        raise LostAnswerError(
            f"The answer to the create request was lost ({lost}), and the job could not be looked for: {error}"
        ) from error


def _made(request: Request, operation: Operation) -> NotebookExecutionJob:
    """Return the job that a create operation makes, as far as it is known without reading it."""
    return replace(request.job, name=str(job_of_operation(operation.name)), create_time=operation.create_time)


def _look_for_lost(request: Request) -> Flow[NotebookExecutionJob | None]:
    for pause in LOOKS:
        yield Sleep(pause)
        if twins := (yield from find_submitted(request.parent, request.job)):
            return (yield from _keep_oldest(request, twins))
    return None


def _look_for_older(request: Request, made: NotebookExecutionJob) -> Flow[NotebookExecutionJob]:
    """Return the oldest job of a create request that was sent twice; a list may not show the last one yet."""
    twins = yield from find_submitted(request.parent, request.job)
    is_shown = any(same_job(each.name or "", made.name or "") for each in twins)
    return (yield from _keep_oldest(request, twins if is_shown else [*twins, made]))


def _keep_oldest(request: Request, twins: list[NotebookExecutionJob]) -> Flow[NotebookExecutionJob]:
    """Return the first of several jobs of one create request, and end the others."""
    for younger in twins[1:]:
        # Even kill='leave' does not pay twice for one job.
        kill: KillPolicy = "cancel" if request.kill == "leave" else request.kill
        ending = yield from end_job(younger.name or "", None, kill, must_see=True)
        request.warn(f"The create request was carried out twice. The younger job {younger.name} {ending}.")
    return twins[0]

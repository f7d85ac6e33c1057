"""Exactly one remote job for what a task asks, whatever is killed or lost on the way.

Every job carries a display name that ends in its task's key, which a list can be filtered by, and labels that say which
try made it, for which request, and with which submission (:mod:`airflow_nbjobs.submission`). Airflow gives every try a
new number, after a crash as after a failure as after a clear; what tells them apart is the generation: ``first_try`` is
the try that a person, a schedule or a clear asked for, and the later ones are automatic retries.

- The first try of a generation adopts nothing. A job of an earlier one that is still active is nobody's any more.
- A retry adopts the newest job of this task, this request and this generation if it is active or has SUCCEEDED: had its
  result been consumed, there would be no retry. An active job that it does not adopt is ended first.
- A create whose answer was lost is looked for before it is sent again.

Why it is so, and which window remains: ``docs/decisions/exactly-once.md``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from airflow_nbjobs.api import calls
from airflow_nbjobs.api.client import Conversation, Pause
from airflow_nbjobs.api.ending import KillPolicy, end_job
from airflow_nbjobs.api.job import JobState, NotebookExecutionJob, Operation
from airflow_nbjobs.api.names import job_of_operation, same_job
from airflow_nbjobs.exceptions import (
    AlreadyExistsError,
    ApiError,
    TransportError,
    UnavailableError,
    UnexpectedAnswerError,
)
from airflow_nbjobs.submission import TaskIdentity

__all__ = ["Decision", "Submitted", "decide", "end_submitted", "find_submitted", "submit"]

_CLOCKS_DIFFER = timedelta(minutes=2)
"""How far Airflow's clock and the service's may be apart."""

_LOOKS = (4.0, 5.0, 7.0)
"""Seconds before each look for a job whose create got no answer: three looks over sixteen seconds."""

_CREATES = 3
"""Times that a create is sent whose answers are lost."""

_LONG_AGO = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, kw_only=True)
class Decision:
    """What to do about the jobs that a task has already.

    :ivar adopt: the job whose outcome is this try's.
    :ivar end: active jobs that nobody waits for.
    :ivar is_complete: whether the try before this one is accounted for; otherwise its job may be yet to show.
    """

    adopt: NotebookExecutionJob | None
    end: tuple[NotebookExecutionJob, ...]
    is_complete: bool


@dataclass(frozen=True, kw_only=True)
class Submitted:
    """The one job of a try.

    :ivar operation_name: its create operation; ``None`` for an adopted job, whose operations can be listed.
    """

    job: NotebookExecutionJob
    operation_name: str | None
    is_adopted: bool


def decide(jobs: Iterable[NotebookExecutionJob], task: TaskIdentity, request: str) -> Decision:
    """Decide about the jobs that bear a task's key.

    :param jobs: in any order; those that do not bear it are left alone.
    :param request: hash of what the user asks for now.
    """
    ours = sorted((job for job in jobs if _bears(job, task.key)), key=_created, reverse=True)
    adopt = None
    if not task.is_first_try:
        same = [job for job in ours if _is_of_run(job, task) and job.labels.get("nbjobs-request") == request]
        newest = next((job for job in same if task.first_try <= _try(job) < task.try_number), None)
        if newest is not None and (_is_active(newest) or newest.job_state.is_success):
            adopt = newest
    unwanted = [job for job in ours if _is_active(job) and job is not adopt and _try(job) < task.try_number]
    return Decision(
        adopt=adopt,
        # Without a name that is surely this Airflow's own, another one on some laptop may have made a job.
        end=tuple(job for job in unwanted if task.is_certain or _is_of_run(job, task)),
        is_complete=task.is_first_try
        or adopt is not None
        or any(_try(job) == task.try_number - 1 and _is_of_run(job, task) for job in ours),
    )


def submit(
    parent: str,
    job: NotebookExecutionJob,
    task: TaskIdentity,
    kill: KillPolicy,
    *,
    job_ids: Iterable[str | None] = (None,),
    tell: Callable[[str], None] = lambda _: None,
) -> Conversation[Submitted]:
    """Return the one job of this try: adopted, or created.

    :param parent: ``projects/p/locations/l``.
    :param job: what is asked for, with the task's display name and labels.
    :param kill: how a job that nobody waits for is ended.
    :param job_ids: ids to create it with, the next one when one is taken; ``None`` leaves it to the service.
    :param tell: told what a person should know, in sentences.
    :raises ApiError: when the service refuses, or cannot be reached for long enough.
    """
    if task.try_number > 1:
        decision = yield from _look(parent, task, job.labels["nbjobs-request"])
        for unwanted in decision.end:
            became = yield from end_job(unwanted.name or "", None, kill)
            tell(f"The job {unwanted.name} of try {_try(unwanted)} is nobody's any more: it {became}.")
        if decision.adopt is not None:
            return Submitted(job=decision.adopt, operation_name=None, is_adopted=True)
    taken: AlreadyExistsError | None = None
    for job_id in job_ids:
        try:
            return (yield from _create(parent, job, kill, job_id, tell))
        except AlreadyExistsError as error:
            taken = error
            existing: NotebookExecutionJob = yield calls.get_job(f"{parent}/notebookExecutionJobs/{job_id}")
            if _is_submitted_as(existing, job):
                return Submitted(job=existing, operation_name=None, is_adopted=False)
            if (adopted := decide([existing], task, job.labels["nbjobs-request"]).adopt) is not None:
                return Submitted(job=adopted, operation_name=None, is_adopted=True)
    raise taken or AssertionError("there is no id to create the job with")


def _look(parent: str, task: TaskIdentity, request: str) -> Conversation[Decision]:
    """Look at the task's jobs; again for a while if the try before this one may have made one that is yet to show."""
    decision = decide((yield from _list(parent, task.key)), task, request)
    for pause in _LOOKS:
        if decision.is_complete:
            break
        yield Pause(pause)
        decision = decide((yield from _list(parent, task.key)), task, request)
    return decision


def _list(parent: str, key: str) -> Conversation[list[NotebookExecutionJob]]:
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


def _create(
    parent: str, job: NotebookExecutionJob, kill: KillPolicy, job_id: str | None, tell: Callable[[str], None]
) -> Conversation[Submitted]:
    """Create the job; one whose answer was lost is looked for before it is created again."""
    lost: ApiError | None = None
    for _ in range(_CREATES):
        try:
            operation: Operation = yield calls.create_job(parent, job, job_id)
        except (TransportError, UnavailableError, UnexpectedAnswerError) as error:
            if isinstance(error, TransportError) and not error.was_sent:
                raise
            lost = error
            tell(f"The answer to the create was lost ({error}). Looking whether the job was made.")
            for pause in _LOOKS:
                yield Pause(pause)
                if twins := (yield from find_submitted(parent, job)):
                    return Submitted(job=twins[0], operation_name=None, is_adopted=False)
            continue
        made = replace(job, name=str(job_of_operation(operation.name)))
        if lost is not None and (older := (yield from _end_younger(parent, job, kill, tell))) is not None:
            made = older
        return Submitted(job=made, operation_name=_operation_of(made, operation), is_adopted=False)
    raise lost or AssertionError("a create either answers or fails")


def find_submitted(parent: str, job: NotebookExecutionJob) -> Conversation[list[NotebookExecutionJob]]:
    """Return the jobs that one submission made, the oldest first: none, one, or by a lost answer more."""
    listed = yield from _list(parent, (job.display_name or "").rpartition("-")[2])
    return sorted((each for each in listed if _is_submitted_as(each, job)), key=_created)


def end_submitted(parent: str, job: NotebookExecutionJob, kill: KillPolicy) -> Conversation[str]:
    """End what a create that is still on its way makes, and return what became of it, as the rest of a sentence.

    It is looked for during some three seconds, which is what a killed task has.
    """
    for pause in (0.0, 1.0, 1.0):
        yield Pause(pause)
        if found := (yield from find_submitted(parent, job)):
            for each in found:
                became = yield from end_job(each.name or "", None, kill)
            return became
    return "was not found; should it be made after all, its own timeout ends it"


def _end_younger(
    parent: str, job: NotebookExecutionJob, kill: KillPolicy, tell: Callable[[str], None]
) -> Conversation[NotebookExecutionJob | None]:
    """After a create that was sent twice: keep the oldest job that it made, and end the others."""
    twins = yield from find_submitted(parent, job)
    for younger in twins[1:]:
        # Even a policy that leaves jobs to run does not pay twice for one.
        became = yield from end_job(younger.name or "", None, "cancel" if kill == "leave" else kill)
        tell(f"The create was carried out twice: the younger job {younger.name} {became}.")
    return twins[0] if twins else None


def _operation_of(job: NotebookExecutionJob, operation: Operation) -> str | None:
    return operation.name if same_job(job.name or "", str(job_of_operation(operation.name))) else None


def _bears(job: NotebookExecutionJob, key: str) -> bool:
    return (job.display_name or "").endswith(f"-{key}")


def _is_submitted_as(job: NotebookExecutionJob, request: NotebookExecutionJob) -> bool:
    return job.labels.get("nbjobs-submit") == request.labels["nbjobs-submit"]


def _is_active(job: NotebookExecutionJob) -> bool:
    return not job.job_state.is_terminal and job.job_state != JobState.CANCELLING


def _is_of_run(job: NotebookExecutionJob, task: TaskIdentity) -> bool:
    """Tell whether the job was made in this run of the DAG, and not in a deleted one that had the same id."""
    return task.run_started is None or _created(job) >= task.run_started - _CLOCKS_DIFFER


def _created(job: NotebookExecutionJob) -> datetime:
    return job.create_time or _LONG_AGO


def _try(job: NotebookExecutionJob) -> int:
    number = job.labels.get("nbjobs-try", "")
    return int(number) if number.isascii() and number.isdigit() else 0

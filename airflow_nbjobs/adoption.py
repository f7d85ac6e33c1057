"""Exactly one remote job for what a task asks, whatever is killed or lost on the way.

Every job carries a display name that ends in its task's key, which a list can be filtered by, and labels that say which
try made it, for which request, and with which submission (:mod:`airflow_nbjobs.submission`). Airflow gives every try a
new number, after a crash as after a failure as after a clear; what tells them apart is the generation: ``first_try`` is
the try that a person, a schedule or a clear asked for, and the later ones are automatic retries.

- The first try of a generation adopts nothing of an earlier one, whose active job is nobody's any more.
- A retry adopts the newest job of this task, this request and this generation that is active or has SUCCEEDED: had its
  result been consumed, there would be no retry. An active job that it does not adopt is ended first.
- Airflow may start one try twice: a process of it adopts what another one has made.
- A create whose answer was lost is looked for before it is sent again (:mod:`airflow_nbjobs.sending`).

Why it is so, and which window remains: ``docs/decisions/exactly-once.md``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import timedelta

from airflow_nbjobs.api.client import Flow, Sleep
from airflow_nbjobs.api.ending import KillPolicy, end_job
from airflow_nbjobs.api.job import JobState, NotebookExecutionJob
from airflow_nbjobs.api.waiting import first_look
from airflow_nbjobs.exceptions import (
    AlreadyExistsError,
    ApiError,
    LostAnswerError,
    NbjobsError,
    NotFoundError,
    RateLimitedError,
    TransportError,
)
from airflow_nbjobs.hints import is_capacity
from airflow_nbjobs.sending import (
    LOOKS,
    Sending,
    Submitted,
    create,
    create_named,
    created,
    is_submitted_as,
    list_by_key,
)
from airflow_nbjobs.submission import TaskIdentity, is_of_task

__all__ = ["Decision", "abandon", "decide", "submit"]

_CLOCKS_DIFFER = timedelta(minutes=2)
"""How far Airflow's clock and the service's may be apart."""


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


def decide(
    jobs: Iterable[NotebookExecutionJob], task: TaskIdentity, request: str, *, takes_failed: bool = False
) -> Decision:
    """Decide about the jobs that bear a task's key.

    :param jobs: in any order; those that do not bear it are left alone.
    :param request: hash of what the user asks for now.
    :param takes_failed: whether one that has FAILED is adopted when there is no other.
    """
    ours = sorted((job for job in jobs if is_of_task(job, task.key)), key=created, reverse=True)
    same = [job for job in ours if _is_of_run(job, task) and job.labels.get("nbjobs-request") == request]
    of_generation = [job for job in same if task.first_try <= _try(job) < task.try_number or _is_twins(job, task)]
    # Not the newest alone: of two jobs of one create the younger was ended.
    adopt = next((job for job in of_generation if _is_active(job) or job.job_state.is_success), None)
    # One that has FAILED says nothing of what was made after it.
    is_complete = task.is_first_try or adopt is not None or _is_accounted_for(ours, task)
    if adopt is None and takes_failed:
        adopt = next((job for job in of_generation if job.job_state == JobState.FAILED), None)
    # A process of a deleted run may live on beside the run that was made again: that one's jobs are not its own.
    others = [
        job
        for job in ours
        if _is_of_earlier_run(job, task)
        or ((_try(job) < task.try_number or _is_twins(job, task)) and not _is_of_later_run(job, task))
    ]
    unwanted = [job for job in others if _is_active(job) and job is not adopt]
    return Decision(
        adopt=adopt,
        # Without a name that is surely this Airflow's own, another one on some laptop may have made a job.
        end=tuple(job for job in unwanted if task.is_certain or _is_of_run(job, task)),
        is_complete=is_complete,
    )


def _is_accounted_for(ours: list[NotebookExecutionJob], task: TaskIdentity) -> bool:
    """Tell whether the try before this one has shown its last job: one without a machine may be followed by another."""
    before = next((job for job in ours if _try(job) == task.try_number - 1 and _is_of_run(job, task)), None)
    return before is not None and not is_capacity(before.status)


def submit(
    parent: str,
    job: NotebookExecutionJob,
    task: TaskIdentity,
    kill: KillPolicy,
    *,
    job_ids: Iterable[str | None] = (None,),
    takes_failed: bool = False,
    tell: Callable[[str], None] = lambda _: None,
    check: Callable[[], None] = lambda: None,
) -> Flow[Submitted]:
    """Return the one job of this try: adopted, or created.

    :param parent: ``projects/p/locations/l``.
    :param job: what is asked for, with the task's display name and labels.
    :param kill: how a job that nobody waits for is ended.
    :param job_ids: ids to create it with, the next one when one is taken; ``None`` leaves it to the service.
    :param takes_failed: see :func:`decide`.
    :param tell: told what a person should know, in sentences.
    :param check: called each time before a create is sent; what it raises ends the submission.
    :raises ApiError: when the service refuses, or cannot be reached for long enough.
    :raises LostAnswerError: when it cannot be found out whether a create was carried out.
    :raises NbjobsError: when a later try of the task has made a job already.
    """
    ids = list(job_ids)
    request = job.labels["nbjobs-request"]
    # An id of its own tells a first try by itself that there is a job, unless that one has FAILED and another one not.
    if task.try_number > 1 or takes_failed or (ids == [None] and task.instance is not None):
        decision = yield from _look(parent, task, request, tell, takes_failed=takes_failed)
        yield from _end_unwanted(decision, kill, tell)
        if decision.adopt is not None:
            return Submitted(job=decision.adopt, operation_name=None, is_adopted=True)
    sending = Sending(parent=parent, job=job, kill=kill, tell=tell, check=check)
    taken: AlreadyExistsError | None = None
    for job_id in ids:
        try:
            return (yield from (create(sending) if job_id is None else _create_or_take(sending, job_id, task)))
        except AlreadyExistsError as error:
            taken = error
    raise taken or AssertionError("there is no id to create the job with")


def _create_or_take(sending: Sending, job_id: str, task: TaskIdentity) -> Flow[Submitted]:
    """Create the job with an id of its own, or take the one that has it if that is this try's to take.

    :raises AlreadyExistsError: when it is not.
    :raises LostAnswerError: when nobody sees the job that has it. One that is being deleted keeps its id for a while.
    """
    for is_last in (False, True):
        try:
            return (yield from create_named(sending, job_id))
        except AlreadyExistsError as error:
            taken = error
        try:
            existing = yield from first_look(f"{sending.parent}/notebookExecutionJobs/{job_id}")
        except NotFoundError as unseen:
            if is_last:
                raise LostAnswerError(
                    f"{job_id} is taken, and the job that has it is not to be seen. It may be this task's own."
                ) from unseen
            continue  # it is being deleted, or is yet to show
        if is_submitted_as(existing, sending.job):
            return Submitted(job=existing, operation_name=None, is_adopted=False)
        _refuse_if_overtaken([existing], task)
        decision = decide([existing], task, sending.job.labels["nbjobs-request"])
        yield from _end_unwanted(decision, sending.kill, sending.tell)
        if decision.adopt is not None:
            return Submitted(job=decision.adopt, operation_name=None, is_adopted=True)
        break
    raise taken


def abandon(
    parent: str,
    task: TaskIdentity,
    job: NotebookExecutionJob | None,
    kill: KillPolicy,
    *,
    is_late: Callable[[], bool] = lambda: False,
) -> Flow[str]:
    """End what this try and earlier ones have left, and return what became of it, as the rest of a sentence.

    :param parent: ``projects/p/locations/l``.
    :param job: what is being submitted: its create may be on its way, so that it is looked for during some three
        seconds, which is what a killed task has. ``None`` when nothing was.
    :param kill: how jobs are ended.
    :param is_late: tells when a cancellation was given long enough to work.
    :raises ApiError: when the service cannot be asked or told.
    """
    # To a task that is over, all of its tries are earlier ones.
    over = replace(task, try_number=task.try_number + 1, first_try=task.try_number + 1, instance=None)
    became: dict[str, str] = {}
    for pause in (0.0, 1.0, 1.0) if job is not None else (0.0,):
        yield Sleep(pause)
        jobs = yield from list_by_key(parent, task.key)
        made = [each for each in jobs if job is not None and is_submitted_as(each, job)]
        for each in {each.name: each for each in [*decide(jobs, over, "").end, *made]}.values():
            try:
                became[each.name or ""] = yield from end_job(each.name or "", None, kill, is_late=is_late)
            except TransportError:
                raise  # nobody answers for the others either
            except ApiError as error:
                became[each.name or ""] = f"could not be ended and may still run ({error})"
        if made:
            return _told(became)
    return _told(became) if job is None else f"{_told(became)}; what is still on its way ends by its own timeout"


def _told(became: dict[str, str]) -> str:
    if not became:
        return "was not found"
    if len(became) == 1:
        return "".join(became.values())
    return f"(there were {len(became)}): " + "; ".join(f"{name} {what}" for name, what in became.items())


def _end_unwanted(decision: Decision, kill: KillPolicy, tell: Callable[[str], None]) -> Flow[None]:
    for unwanted in decision.end:
        became = yield from end_job(unwanted.name or "", None, kill, must_see=True)
        tell(f"The job {unwanted.name} of try {_try(unwanted)} is nobody's any more: it {became}.")


def _look(
    parent: str, task: TaskIdentity, request: str, tell: Callable[[str], None], *, takes_failed: bool
) -> Flow[Decision]:
    """Look at the task's jobs; again for a while if the try before this one may have made one that is yet to show."""
    for pause in (0.0, *LOOKS):
        yield Sleep(pause)
        try:
            jobs = yield from list_by_key(parent, task.key)
        except ApiError as error:
            if task.try_number > 1 or (error.is_transient and not isinstance(error, RateLimitedError)):
                raise
            tell(f"Whether another process of this try has made a job already cannot be found out: {error}")
            jobs = []
        _refuse_if_overtaken(jobs, task)
        decision = decide(jobs, task, request, takes_failed=takes_failed)
        if decision.is_complete:
            break
    return decision


def _refuse_if_overtaken(jobs: Iterable[NotebookExecutionJob], task: TaskIdentity) -> None:
    """Leave it to a later try: one that stood still may wake up when Airflow has given it up."""
    for job in jobs:
        if is_of_task(job, task.key) and _is_of_run(job, task) and _try(job) > task.try_number:
            raise NbjobsError(
                f"Try {_try(job)} of the task has made {job.name}, and this process is of try {task.try_number}, which "
                "Airflow has given up: nothing is submitted."
            )


def _is_twins(job: NotebookExecutionJob, task: TaskIdentity) -> bool:
    """Tell whether another process of this very try made the job."""
    label = task.instance_label
    return label is not None and _try(job) == task.try_number and job.labels.get("nbjobs-instance") == label


def _is_active(job: NotebookExecutionJob) -> bool:
    return not job.job_state.is_terminal and job.job_state != JobState.CANCELLING


def _is_of_run(job: NotebookExecutionJob, task: TaskIdentity) -> bool:
    """Tell whether the job was made in this run of the DAG, and not in a deleted one that had the same id."""
    if label := job.labels.get("nbjobs-run"):
        return label == task.run_label
    # A job of a version that did not label it.
    return task.run_started is None or created(job) >= task.run_started - _CLOCKS_DIFFER


def _is_of_earlier_run(job: NotebookExecutionJob, task: TaskIdentity) -> bool:
    """Tell whether the job was made in a run of the DAG that had the same id, and was over before this one started."""
    started, made = task.run_started, job.create_time
    return started is not None and made is not None and made < started and not _is_of_run(job, task)


def _is_of_later_run(job: NotebookExecutionJob, task: TaskIdentity) -> bool:
    """Tell whether the job was surely made in a run of the DAG that had the same id, and started after this one."""
    started, made = task.run_started, job.create_time
    is_later = started is not None and made is not None and made - started >= _CLOCKS_DIFFER
    return is_later and not _is_of_run(job, task)


def _try(job: NotebookExecutionJob) -> int:
    number = job.labels.get("nbjobs-try", "")
    return int(number) if number.isascii() and number.isdigit() else 0

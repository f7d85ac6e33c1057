"""Which jobs of a task a try adopts, and which ones it ends. Decisions only: nothing here is sent.

Airflow gives every try a new number, after a crash, after a failure and after a clear. The generation distinguishes
these: ``first_try`` is the try that a schedule, a person or a clear asked for, and the tries after it are retries.

- The first try of a generation adopts no job of an earlier generation. An active one is orphaned and is ended.
- A retry adopts the newest job of this task, this request and this generation that is active or has SUCCEEDED: if its
  result had been used, there would be no retry. An active job that it does not adopt is ended first.
- Airflow may start one try twice. Either process adopts what the other has created.

The reasons and the window that remains: ``docs/decisions/exactly-once.md``.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta

from airflow_nbjobs.api.capacity import is_capacity
from airflow_nbjobs.api.job import JobState, NotebookExecutionJob
from airflow_nbjobs.exceptions import NbjobsError
from airflow_nbjobs.run.find import created
from airflow_nbjobs.run.identity import TaskIdentity, is_of_task, try_of

__all__ = ["Decision", "decide", "refuse_if_overtaken"]

_CLOCKS_DIFFER = timedelta(minutes=2)
"""How far the clocks of Airflow and the service may differ."""


@dataclass(frozen=True, kw_only=True)
class Decision:
    """What to do about the jobs that a task already has.

    :ivar adopt: the job whose result is this try's; ``None`` to create one.
    :ivar end: active jobs that no task waits for.
    :ivar is_complete: whether the job of the process before this one was seen. Otherwise it may still appear.
    """

    adopt: NotebookExecutionJob | None
    end: tuple[NotebookExecutionJob, ...]
    is_complete: bool


def decide(
    jobs: Iterable[NotebookExecutionJob], task: TaskIdentity, request: str, *, takes_failed: bool = False
) -> Decision:
    """Decide about the jobs that have a task's key.

    :param jobs: in any order; jobs without the key are ignored.
    :param request: hash of what the user asks for now.
    :param takes_failed: adopt a FAILED job if there is no other one.
    """
    ours = sorted((job for job in jobs if is_of_task(job, task.key)), key=created, reverse=True)
    of_generation = [
        job
        for job in ours
        if _is_of_run(job, task)
        and job.labels.get("nbjobs-request") == request
        and task.is_adopting
        and (task.first_try <= try_of(job) < task.try_number or _is_of_same_try(job, task))
    ]
    # The newest may be a twin that was ended.
    adopt = next((job for job in of_generation if _is_active(job) or job.job_state.is_success), None)
    # A FAILED job does not tell whether another one was created after it.
    is_complete = not (task.is_retry or task.is_rescheduled) or adopt is not None or _is_last_seen(ours, task)
    if adopt is None and takes_failed:
        adopt = next((job for job in of_generation if job.job_state == JobState.FAILED), None)
    unwanted = [job for job in ours if _is_active(job) and job is not adopt and _is_earlier(job, task)]
    return Decision(
        adopt=adopt,
        # If the deployment's name may be shared, a job of another run may belong to another Airflow.
        end=tuple(job for job in unwanted if task.is_certain or _is_of_run(job, task)),
        is_complete=is_complete,
    )


def refuse_if_overtaken(jobs: Iterable[NotebookExecutionJob], task: TaskIdentity) -> None:
    """Check that no later try has created a job: a process that was suspended may go on after Airflow gave it up.

    :raises NbjobsError: if one has.
    """
    for job in jobs:
        if is_of_task(job, task.key) and _is_of_run(job, task) and try_of(job) > task.try_number:
            raise NbjobsError(
                f"Try {try_of(job)} of the task has already created {job.name}. This process belongs to try "
                f"{task.try_number}, which Airflow has given up: nothing is submitted."
            )


def _is_last_seen(ours: list[NotebookExecutionJob], task: TaskIdentity) -> bool:
    """Return whether the last job of the process before was seen: another one follows a job without a machine."""
    number = task.try_number if task.is_rescheduled else task.try_number - 1
    last = next((job for job in ours if try_of(job) == number and _is_of_run(job, task)), None)
    return last is not None and not is_capacity(last.status)


def _is_earlier(job: NotebookExecutionJob, task: TaskIdentity) -> bool:
    """Return whether the job belongs to an earlier try, to this one, or to an earlier run with the same id.

    A clear starts a run that was over again. A process of a deleted run may outlive it, and leaves the jobs of the new
    run alone.
    """
    if _is_of_run(job, task):
        return try_of(job) < task.try_number or _is_of_same_try(job, task)
    margin = _CLOCKS_DIFFER if try_of(job) < task.try_number else timedelta(0)
    return task.run_started is not None and created(job) < task.run_started + margin


def _is_of_same_try(job: NotebookExecutionJob, task: TaskIdentity) -> bool:
    """Return whether another process of this very try created the job."""
    label = task.instance_label
    return label is not None and try_of(job) == task.try_number and job.labels.get("nbjobs-instance") == label


def _is_active(job: NotebookExecutionJob) -> bool:
    return not job.job_state.is_terminal and job.job_state != JobState.CANCELLING


def _is_of_run(job: NotebookExecutionJob, task: TaskIdentity) -> bool:
    """Return whether the job was created in this DAG run, and not in a deleted one with the same id."""
    return job.labels.get("nbjobs-run") == task.run_label

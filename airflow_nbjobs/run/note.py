"""What passes between a task, its trigger and the resumed task: the note (an XCom) and the trigger's event.

During an upgrade both sides may run different versions of this package. Names stay, fields are only added, and ``v``
changes when an older reader could not understand the payload.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from airflow_nbjobs.api.job import NotebookExecutionJob
from airflow_nbjobs.api.names import JobName, ResourceName, job_of_operation, same_job
from airflow_nbjobs.api.wire import parse_time
from airflow_nbjobs.exceptions import FailureKind, InvalidNotebookJobError, NbjobsError, NotebookJobError
from airflow_nbjobs.run.identity import attempt_of, is_of_task
from airflow_nbjobs.run.summary import describe

__all__ = ["JOB_XCOM", "VERSION", "Event", "EventOutcome", "JobNote", "check_agreement"]

VERSION = 1

JOB_XCOM = "notebook_execution_job"
"""Key of the XCom with the note: ``{"v", "name", "operation", "adopted", "attempt"}``."""

EventOutcome = Literal["done", "timeout", "gone", "error"]
"""
Why a trigger stopped waiting: the job ended; the deadline passed; the job was not found; the service could not be
reached for too long.
"""


@dataclass(frozen=True, kw_only=True)
class JobNote:
    """The job of a task, as another process of the task needs to know it.

    :ivar name: resource name of the job.
    :ivar operation_name: its create operation; ``None`` if it is not known, then it is looked up.
    :ivar is_adopted: whether another try, or another process of this try, created the job.
    :ivar attempt: number of submissions before it in the try that created it.
    """

    name: str
    operation_name: str | None
    is_adopted: bool
    attempt: int = 0

    def to_payload(self) -> dict[str, Any]:
        """Return the JSON of the XCom."""
        return {
            "v": VERSION,
            "name": self.name,
            "operation": self.operation_name,
            "adopted": self.is_adopted,
            "attempt": self.attempt,
        }

    @classmethod
    def from_payload(cls, payload: object) -> JobNote | None:
        """Parse the XCom; ``None`` if it is missing, malformed, or of another version."""
        if not isinstance(payload, Mapping) or not _is_of_version(payload):
            return None
        try:
            name = str(JobName.parse(payload.get("name")))
        except InvalidNotebookJobError:
            return None
        return cls(
            name=name,
            operation_name=_operation_of(payload.get("operation"), name),
            is_adopted=payload.get("adopted") is True,
            attempt=payload["attempt"] if isinstance(payload.get("attempt"), int) else 0,
        )

    @classmethod
    def of_event(cls, event: Event, job: NotebookExecutionJob, key: str) -> JobNote:
        """Return the note for a task whose own note is missing.

        :param job: the event's job, as it was read.
        :param key: the key of the task.
        :raises NbjobsError: if the job belongs to another task.
        """
        if not is_of_task(job, key):
            raise NbjobsError(f"The trigger's event is about {event.job_name}, which is not a job of this task.")
        return cls(name=event.job_name, operation_name=event.operation_name, is_adopted=False, attempt=attempt_of(job))


@dataclass(frozen=True, kw_only=True)
class Event:
    """The event of a trigger: a hint to read the job, never a result.

    :ivar outcome: an :data:`EventOutcome`; another version may send others.
    :ivar state: the last state of the job that the trigger saw, for people who read logs.
    :ivar deadline: deadline of the trigger, ISO 8601. A task that defers again keeps it: on Airflow 3.1 the start date
        of a resumed task is the moment of resuming.
    :ivar reason: why the service could not be asked, at most 300 characters.
    :ivar kind: what kind of failure that is.
    :ivar running_since: when the job was RUNNING first, ISO 8601; ``None`` if the trigger did not see that.
    """

    job_name: str
    operation_name: str | None
    outcome: str
    state: str | None
    deadline: str | None = None
    reason: str | None = None
    kind: FailureKind = FailureKind.OTHER
    running_since: str | None = None

    def to_payload(self) -> dict[str, Any]:
        """Return the JSON of the event, less than 1 KB."""
        return {
            "v": VERSION,
            "job_name": self.job_name,
            "operation_name": self.operation_name,
            "outcome": self.outcome,
            "state": self.state,
            "deadline": self.deadline,
            "reason": self.reason and self.reason[:300],
            "kind": self.kind.name,
            "running_since": self.running_since,
        }

    @property
    def ends_at(self) -> datetime | None:
        """The deadline; ``None`` if it is missing or cannot be parsed."""
        return parse_time(self.deadline)

    @property
    def ran_from(self) -> datetime | None:
        """The parsed :attr:`running_since`; ``None`` if it is missing or cannot be parsed."""
        return parse_time(self.running_since)

    @classmethod
    def from_payload(cls, payload: object, parent: str | None = None) -> Event:
        """Parse an event.

        :param parent: ``projects/p/locations/l`` of the task's jobs; an event about another place is refused. Without
            it, the event may be about a schedule whose job is still awaited: ``job_name`` is then empty.
        :raises NbjobsError: if this version does not understand the event.
        """
        if not isinstance(payload, Mapping) or not _is_of_version(payload) or "outcome" not in payload:
            raise NbjobsError(
                f"The trigger's event {payload!r} is not understood: this version of airflow-nbjobs reads v={VERSION}. "
                "Install the same version on the workers and the triggerer."
            )
        if parent is None and "schedule" in payload:
            ResourceName.parse(payload["schedule"], "schedules")
            return cls._about("", None, payload)
        job = JobName.parse(payload.get("job_name"))
        if parent is not None and not _is_in(job, parent):
            raise NbjobsError(f"The trigger's event is about {str(job)!r}, but the task's jobs are in {parent!r}.")
        name = str(job)
        operation = _operation_of(payload.get("operation_name"), name)
        if parent is not None:  # an event never leads to another project, for any project number in it
            name, operation = _moved(name, parent), operation and _moved(operation, parent)
        return cls._about(name, operation, payload)

    @classmethod
    def _about(cls, job_name: str, operation: str | None, payload: Mapping[str, Any]) -> Event:
        return cls(
            job_name=job_name,
            operation_name=operation,
            outcome=str(payload["outcome"]),
            state=_text(payload.get("state")),
            deadline=_text(payload.get("deadline")),
            reason=_text(payload.get("reason")),
            kind=FailureKind.__members__.get(str(payload.get("kind")), FailureKind.OTHER),
            running_since=_text(payload.get("running_since")),
        )


def _operation_of(operation: object, job_name: str) -> str | None:
    """Return the operation if it belongs to the job: canceling another one would end another job."""
    try:
        belongs = same_job(str(job_of_operation(str(operation))), job_name)
    except InvalidNotebookJobError:
        return None
    return str(operation) if belongs else None


def _is_of_version(payload: Mapping[str, Any]) -> bool:
    version = payload.get("v")
    return type(version) is int and version == VERSION


def _moved(name: str, parent: str) -> str:
    kind = "/notebookExecutionJobs/"
    return f"{parent}{kind}{name.partition(kind)[2]}"


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _is_in(name: JobName, parent: str) -> bool:
    """Return whether a job is in a place. The service names projects by their numbers, which are not known here."""
    project, location = parent.split("/")[1::2]
    return name.location == location and (name.project == project or name.project.isdigit())


def check_agreement(event: Event, job: NotebookExecutionJob) -> None:
    """Check that the task may wait again for a job that has not ended.

    :raises NotebookJobError: if the trigger could not see the job; the job is not touched.
    """
    if job.job_state.is_terminal or event.outcome not in ("gone", "error"):
        return
    if event.outcome == "gone":
        why = "the triggerer does not find it. Give the triggerer and the workers the same connection and environment"
    else:
        why = f"the triggerer could not ask the service about it{f': {event.reason}' if event.reason else ''}"
    raise NotebookJobError(
        f"{describe(job)} is {job.job_state.word}, but {why.rstrip('.')}. Job: {job.name}",
        job_name=event.job_name,
        state=job.job_state.value,
        kind=event.kind,
    )

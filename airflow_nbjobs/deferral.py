"""What passes between a task, its trigger, and the task that is resumed.

Both sides may be of different versions of this package while it is upgraded, so names are kept, fields are only added,
and ``v`` counts what cannot be understood by an older reader.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from airflow_nbjobs.api.job import NotebookExecutionJob
from airflow_nbjobs.api.names import JobName, job_of_operation, same_job
from airflow_nbjobs.exceptions import InvalidNotebookJobError, NbjobsError, NotebookJobError
from airflow_nbjobs.settle import describe

__all__ = ["JOB_XCOM", "VERSION", "Event", "Held", "Outcome", "check_agreement"]

VERSION = 1

JOB_XCOM = "notebook_execution_job"
"""Key of the XCom in which a task keeps the job it holds: ``{"v", "name", "operation", "adopted", …}``."""


@dataclass(frozen=True, kw_only=True)
class Held:
    """The job that a task holds, as it keeps it in an XCom: what it needs to end it from another process.

    :ivar operation_name: its create operation; looked up when it is not known.
    :ivar is_adopted: whether another try, or another process of this one, made it.
    :ivar attempt: how often the try that made it had submitted before, for lack of capacity: counted on from, by
        whoever waits for it.
    """

    name: str
    operation_name: str | None
    is_adopted: bool
    attempt: int = 0

    def to_payload(self) -> dict[str, Any]:
        """Return the XCom's JSON."""
        return {
            "v": VERSION,
            "name": self.name,
            "operation": self.operation_name,
            "adopted": self.is_adopted,
            "attempt": self.attempt,
        }

    @classmethod
    def from_payload(cls, payload: object) -> Held | None:
        """Read the XCom; ``None`` when there is none, or another than this version's."""
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


Outcome = Literal["done", "timeout", "gone", "error"]
"""
Why a trigger ended: the job is over; the deadline is; the job cannot be found; the service could not be asked for so
long that the trigger gave up.
"""


@dataclass(frozen=True, kw_only=True)
class Event:
    """A trigger's event: a hint to look, never a result.

    :ivar state: the job's state as last seen, for people who read logs.
    :ivar deadline: the trigger's own, ISO 8601: a task that defers again has no other first moment to count from, since
        Airflow 3.1 lets a task begin anew when it is resumed.
    :ivar reason: what the service or the way to it had against being asked, for people, in 300 characters at most.
    """

    job_name: str
    operation_name: str | None
    outcome: str
    state: str | None
    deadline: str | None = None
    reason: str | None = None

    def to_payload(self) -> dict[str, Any]:
        """Return the event's JSON, under 1 KB."""
        return {
            "v": VERSION,
            "job_name": self.job_name,
            "operation_name": self.operation_name,
            "outcome": self.outcome,
            "state": self.state,
            "deadline": self.deadline,
            "reason": self.reason and self.reason[:300],
        }

    @property
    def ends_at(self) -> datetime | None:
        """The deadline; ``None`` without one, or with one that cannot be read."""
        try:
            moment = datetime.fromisoformat(self.deadline or "")
        except ValueError:
            return None
        return moment if moment.tzinfo is not None else None

    @classmethod
    def from_payload(cls, payload: object, parent: str | None = None) -> Event:
        """Read an event.

        :param parent: ``projects/p/locations/l`` of the task's jobs; an event about another place is refused.
        :raises NbjobsError: when it is not one that this version understands.
        """
        if not isinstance(payload, Mapping) or not _is_of_version(payload):
            raise NbjobsError(
                f"The trigger's event {payload!r} is not understood: this version of airflow-nbjobs reads v={VERSION}. "
                "Do the workers and the triggerer run the same version?"
            )
        job = JobName.parse(payload.get("job_name"))
        if parent is not None and not _is_in(job, parent):
            raise NbjobsError(f"The trigger's event is about {str(job)!r}, and the task's jobs are in {parent!r}.")
        name = str(job)
        operation = _operation_of(payload.get("operation_name"), name)
        if parent is not None:  # which project a number is, is not known: an event leads to no other than the task's
            name, operation = _moved(name, parent), operation and _moved(operation, parent)
        return cls(
            job_name=name,
            operation_name=operation,
            outcome=str(payload.get("outcome")),
            state=_text(payload.get("state")),
            deadline=_text(payload.get("deadline")),
            reason=_text(payload.get("reason")),
        )


def _operation_of(operation: object, job_name: str) -> str | None:
    """Return an operation when it is one of the job's: cancelling another's would end another job."""
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
    """Tell whether a job is in a place; the service calls projects by their numbers, which nobody here knows."""
    project, location = parent.split("/")[1::2]
    return name.location == location and (name.project == project or name.project.isdigit())


_DISAGREEMENTS = {
    "gone": "the triggerer does not find it, and this worker does. Do both have the same NBJOBS_EMULATOR_HOST, "
    "connection and network?",
    "error": "the triggerer could not ask the service about it{reason}.",
}


def check_agreement(told: Event, job: NotebookExecutionJob) -> None:
    """Check that a job which goes on can be waited for again.

    :raises NotebookJobError: when the trigger could not see it; the job is not touched.
    """
    if job.job_state.is_terminal or told.outcome not in _DISAGREEMENTS:
        return
    why = _DISAGREEMENTS[told.outcome].format(reason=f" any more: {told.reason.rstrip('.')}" if told.reason else "")
    raise NotebookJobError(
        f"{describe(job)} is {job.job_state.word}, but {why} The job: {job.name}",
        job_name=told.job_name,
        state=job.job_state.value,
    )

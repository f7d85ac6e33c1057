"""What makes a job recognisable as one task's: its display name, and the labels that are reserved for it.

The display name ends in a key that is the same for each try of a task, and nobody else's. It is the one thing about a
job that a list can be filtered by. The labels tell its tries and requests apart. All of it is part of what running
deferrals and later versions rely on.
"""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from airflow_nbjobs.exceptions import InvalidNotebookJobError

if TYPE_CHECKING:
    from airflow_nbjobs.api.job import NotebookExecutionJob

__all__ = [
    "RESERVED_PREFIX",
    "TaskIdentity",
    "attempt_of",
    "deployment_label",
    "identify",
    "is_of_task",
    "request_hash",
]

RESERVED_PREFIX = "nbjobs-"
_OWN_LABELS = 9
"""What the labels of ours begin with, and no user's may."""

_KEY_LENGTH = 16


@dataclass(frozen=True, kw_only=True)
class TaskIdentity:
    """One task instance of one Airflow.

    :ivar deployment: what tells this Airflow from others in the same project.
    :ivar map_index: -1 for a task that is not mapped.
    :ivar try_number: counts from 1 and never falls, over retries and clears.
    :ivar first_try: the try that began this generation: a person, a schedule or a clear asked for it, and the tries
        after it are automatic. The one after this try, where this try is to adopt nothing that it has made itself.
    :ivar run_started: when the DAG run started; ``None`` where that is not known.
    :ivar instance: Airflow's id of the task instance, which is another one for each try as a rule; ``None`` where it is
        not known.
    :ivar is_certain: whether ``deployment`` is surely this Airflow's alone.
    """

    deployment: str
    dag_id: str
    run_id: str
    task_id: str
    map_index: int
    try_number: int
    first_try: int
    run_started: datetime | None
    is_certain: bool
    instance: str | None = None

    @property
    def is_first_try(self) -> bool:
        """Whether somebody asked for a run, rather than Airflow for a retry."""
        return self.try_number <= self.first_try

    @property
    def instance_label(self) -> str | None:
        """32 hexadecimal digits that tell a process of this very try from one of another run; ``None`` for no process.

        Airflow may start one try twice.
        """
        return None if self.instance is None or self.try_number < self.first_try else _digest(self.instance)

    def job_ids(self) -> Iterator[str]:
        """Return the ids of the jobs of this generation, the next one to be used when one is taken.

        A retry begins with the first again, so that a create of a dead worker that is still on its way finds its id
        taken, or is found.
        """
        return (f"nbjobs-{self.key}-{self.first_try}-{number}" for number in range(100))

    @property
    def run_label(self) -> str | None:
        """32 hexadecimal digits for when the run started, which tell it from a deleted one of the same id.

        They also tell the runs of two Airflows apart whose ``deployment`` is the same, as on two laptops.
        """
        return None if self.run_started is None else _digest(self.run_started.astimezone(UTC).isoformat())

    @property
    def key(self) -> str:
        """16 hexadecimal digits: the same for each try of this task instance, and for no other one."""
        parts = [self.deployment, self.dag_id, self.run_id, self.task_id, self.map_index]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:_KEY_LENGTH]


def deployment_label(deployment: str) -> str:
    """Return the value of the label ``nbjobs-deployment``: 32 hexadecimal digits."""
    return _digest(deployment)


def request_hash(job: NotebookExecutionJob, notebook: Mapping[str, Any]) -> str:
    """Return 32 hexadecimal digits for what the user asked for; call it before :func:`identify` adds our own names.

    :param notebook: what tells the notebook and its parameters from others, as JSON; never a staged copy.
    """
    asked = {"job": job.to_request(), "notebook": notebook}
    return _digest(json.dumps(asked, sort_keys=True))


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def identify(
    job: NotebookExecutionJob,
    task: TaskIdentity,
    request: str,
    notebook_version: str | None = None,
    *,
    attempt: int = 0,
) -> NotebookExecutionJob:
    """Return the job with the task's display name and labels.

    The display name is ``{readable}-{key}``: the user's own name, or the DAG's and the task's, shortened to what the
    limit of 128 leaves.

    :param request: :func:`request_hash` of what the user asked for.
    :param notebook_version: the generation, commit or content hash of the notebook, where it is known.
    :param attempt: how often this try has submitted before, for lack of capacity.
    :raises InvalidNotebookJobError: when the user's name is over the limit, or a label begins with ``nbjobs-``.
    """
    from airflow_nbjobs.api.checks import DISPLAY_NAME_LIMIT

    if job.display_name is not None and not 0 < len(job.display_name) <= DISPLAY_NAME_LIMIT:
        raise InvalidNotebookJobError(
            f"display_name={job.display_name!r} has {len(job.display_name)} characters: give 1 to {DISPLAY_NAME_LIMIT}."
        )
    readable = job.display_name or f"{task.dag_id}.{task.task_id}"
    return replace(
        job,
        display_name=f"{readable[: DISPLAY_NAME_LIMIT - _KEY_LENGTH - 1]}-{task.key}",
        labels={**_own_labels(job.labels), **_labels(task, request, notebook_version, attempt)},
    )


def is_of_task(job: NotebookExecutionJob, key: str) -> bool:
    """Tell whether a job bears a task's key."""
    return (job.display_name or "").endswith(f"-{key}")


def attempt_of(job: NotebookExecutionJob) -> int:
    """Return how often its try had submitted before it, for lack of capacity."""
    number = job.labels.get("nbjobs-attempt", "")
    return int(number) if number.isascii() and number.isdigit() else 0


def _own_labels(labels: Mapping[str, str]) -> Mapping[str, str]:
    from airflow_nbjobs.api.checks import LABEL_LIMIT

    if taken := sorted(key for key in labels if key.startswith(RESERVED_PREFIX)):
        raise InvalidNotebookJobError(
            f"The labels {taken} are reserved by this provider, as all that begin with {RESERVED_PREFIX!r}: "
            "use other keys."
        )
    if len(labels) > (limit := LABEL_LIMIT - _OWN_LABELS):
        raise InvalidNotebookJobError(
            f"There are {len(labels)} labels, and a job has at most {LABEL_LIMIT}, of which {_OWN_LABELS} are kept for "
            f"the provider's own: leave {len(labels) - limit} out."
        )
    return labels


def _labels(task: TaskIdentity, request: str, notebook_version: str | None, attempt: int) -> dict[str, str]:
    return {
        "nbjobs-v": "1",
        "nbjobs-deployment": deployment_label(task.deployment),
        **({"nbjobs-run": task.run_label} if task.run_label else {}),
        "nbjobs-try": str(task.try_number),
        **({"nbjobs-attempt": str(attempt)} if attempt else {}),
        **({"nbjobs-instance": _digest(task.instance)} if task.instance else {}),
        "nbjobs-request": request,
        "nbjobs-submit": uuid.uuid4().hex,
        **({"nbjobs-notebook": notebook_version.lower()} if notebook_version else {}),
    }

"""Who asks for a job: the task's key, and the labels of its jobs.

The display name of a job ends in a key that all tries of one task instance share. It is the only field by which a list
can be filtered for them. The labels distinguish tries, requests and submissions. Running deferrals and later versions
rely on these formats.
"""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from airflow_nbjobs.api.checks import DISPLAY_NAME_LIMIT, LABEL_LIMIT, valid_labels
from airflow_nbjobs.exceptions import InvalidNotebookJobError

if TYPE_CHECKING:
    from airflow_nbjobs.api.job import NotebookExecutionJob

__all__ = [
    "RESERVED_PREFIX",
    "TaskIdentity",
    "attempt_of",
    "check_user_labels",
    "cost_labels",
    "deployment_label",
    "identify",
    "is_of_task",
    "request_hash",
    "try_of",
]

RESERVED_PREFIX = "nbjobs-"
"""Labels with this prefix belong to the provider; users may not set them."""

_OWN_LABELS = 9
_COST_LABELS = frozenset({"airflow-dag", "airflow-task", "airflow-run"})
_COST_LABEL_LENGTH = 63  # in all of Google Cloud; only the job's own field allows one more
_KEY_LENGTH = 16


@dataclass(frozen=True, kw_only=True)
class TaskIdentity:
    """One try of one task instance of one Airflow.

    :ivar deployment: name of this Airflow.
    :ivar map_index: -1 for a task that is not mapped.
    :ivar try_number: counts from 1; it never decreases, also not after a clear.
    :ivar first_try: the first try of this generation.
    :ivar run_started: when the DAG run started; ``None`` if that is not known.
    :ivar is_certain: whether no other Airflow has the same ``deployment``.
    :ivar instance: Airflow's id of the task instance, usually a new one for each try; ``None`` if it is not known.
    :ivar is_adopting: whether this try may adopt jobs of its generation. Otherwise it creates one in any case.
    :ivar iteration: the iteration of the loop that the task is in; ``None`` outside of loops. The iterations of a task
        have the same ids and map index, and each begins with try 1.
    :ivar is_rescheduled: whether earlier processes of this try ended, and Airflow runs it again without using a retry.
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
    is_adopting: bool = True
    iteration: str | None = None
    is_rescheduled: bool = False

    @property
    def is_first_process(self) -> bool:
        """Whether no earlier try, and no earlier process of this try that Airflow knows of, can have left a job."""
        return self.try_number == 1 and not self.is_rescheduled

    @property
    def is_retry(self) -> bool:
        """Whether this try is an automatic retry that may adopt a job."""
        return self.is_adopting and self.try_number > self.first_try

    @property
    def instance_label(self) -> str | None:
        """32 hexadecimal digits for ``instance``; ``None`` if it is not known or this try adopts nothing."""
        return _digest(self.instance) if self.instance is not None and self.is_adopting else None

    def job_ids(self) -> Iterator[str]:
        """Return the job ids of this generation, in the order in which they are tried.

        A retry starts with the first id again. If a dead worker's create request is still on its way, one of the two
        requests finds the id taken.
        """
        return (f"nbjobs-{self.key}-{self.first_try}-{number}" for number in range(100))

    @property
    def run_label(self) -> str | None:
        """32 hexadecimal digits for ``run_started``.

        They tell the DAG run from a deleted one with the same id, and from the run of another Airflow that has the
        same ``deployment``, as on two laptops.
        """
        return None if self.run_started is None else _digest(self.run_started.astimezone(UTC).isoformat())

    @property
    def key(self) -> str:
        """16 hexadecimal digits that are the same for all tries of this task instance."""
        parts = [self.deployment, self.dag_id, self.run_id, self.task_id, self.map_index]
        parts += [] if self.iteration is None else [self.iteration]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:_KEY_LENGTH]


def deployment_label(deployment: str) -> str:
    """Return the value of the label ``nbjobs-deployment``: 32 hexadecimal digits."""
    return _digest(deployment)


def request_hash(job: NotebookExecutionJob, notebook: Mapping[str, Any]) -> str:
    """Return 32 hexadecimal digits for what the user asked for.

    :param job: the job before :func:`identify`.
    :param notebook: JSON that identifies the notebook and its parameters. It never contains a staged copy's URI.
    """
    return _digest(json.dumps({"job": job.to_request(), "notebook": notebook}, sort_keys=True))


def identify(
    job: NotebookExecutionJob,
    task: TaskIdentity,
    request: str,
    notebook_version: str | None = None,
    *,
    attempt: int = 0,
    has_cost_labels: bool = False,
) -> NotebookExecutionJob:
    """Return the job with the task's display name and labels.

    The display name is ``{readable}-{key}``. The readable part is the user's own name or ``{dag_id}.{task_id}``,
    shortened so that both fit into 128 characters.

    :param request: :func:`request_hash` of what the user asked for.
    :param notebook_version: the generation, commit or content hash of the notebook, if it is known.
    :param attempt: number of earlier submissions in this try.
    :param has_cost_labels: whether it gets :func:`cost_labels`. They are no part of the request: a retry also adopts a
        job that was created without them. Labels of the user with the same keys win.
    :raises InvalidNotebookJobError: if a label is reserved, or there are too many.
    """
    readable = job.display_name or f"{task.dag_id}.{task.task_id}"
    costs = {**cost_labels(task), **job.labels} if has_cost_labels else job.labels
    check_user_labels(job.labels, has_cost_labels=has_cost_labels)
    return replace(
        job,
        display_name=f"{readable[: DISPLAY_NAME_LIMIT - _KEY_LENGTH - 1]}-{task.key}",
        labels={**costs, **_labels(task, request, notebook_version, attempt)},
    )


def cost_labels(task: TaskIdentity) -> dict[str, str]:
    """Return the labels ``airflow-dag``, ``airflow-task`` and ``airflow-run``, for the billing export.

    The values are the ids, made valid for Google Cloud: lower case, other characters as ``_``. An id of more than 63
    characters is shortened, and ends in eight hexadecimal digits of its hash, which keep it unique.
    """
    ids = {"airflow-dag": task.dag_id, "airflow-task": task.task_id, "airflow-run": task.run_id}
    return valid_labels({key: _shortened(value.lower()) for key, value in ids.items()})


def _shortened(text: str) -> str:
    return text if len(text) <= _COST_LABEL_LENGTH else f"{text[: _COST_LABEL_LENGTH - 9]}-{_digest(text)[:8]}"


def is_of_task(job: NotebookExecutionJob, key: str) -> bool:
    """Return whether the job's display name ends in the task's key."""
    return (job.display_name or "").endswith(f"-{key}")


def attempt_of(job: NotebookExecutionJob) -> int:
    """Return how many submissions the job's try had made before it."""
    return _number(job, "nbjobs-attempt")


def try_of(job: NotebookExecutionJob) -> int:
    """Return the number of the try that created the job; 0 if it has no such label."""
    return _number(job, "nbjobs-try")


def _number(job: NotebookExecutionJob, label: str) -> int:
    number = job.labels.get(label, "")
    return int(number) if number.isascii() and number.isdigit() else 0


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def check_user_labels(labels: Mapping[str, str], *, has_cost_labels: bool) -> None:
    """Check that the user's labels leave room for ours.

    :param has_cost_labels: whether the job gets :func:`cost_labels` too.
    :raises InvalidNotebookJobError: if one is reserved, or there are too many.
    """
    if taken := sorted(key for key in labels if key.startswith(RESERVED_PREFIX)):
        raise InvalidNotebookJobError(
            f"The labels {taken} are reserved: labels that begin with {RESERVED_PREFIX!r} belong to this provider. "
            "Use other keys."
        )
    own = _OWN_LABELS + (len(_COST_LABELS - labels.keys()) if has_cost_labels else 0)
    if len(labels) > (limit := LABEL_LIMIT - own):
        raise InvalidNotebookJobError(
            f"The job has {len(labels)} labels, and {limit} are allowed: Google Cloud allows {LABEL_LIMIT}, and the "
            f"provider needs {own}. Remove {len(labels) - limit}."
        )


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

"""What is said of a job: its name in messages, its duration and reason, the dict that a task returns."""

from __future__ import annotations

import html
import re
from typing import TYPE_CHECKING, Any

from airflow_nbjobs.api.job import JobState
from airflow_nbjobs.notebooks.plain_text import plain

if TYPE_CHECKING:
    from airflow_nbjobs.api.job import NotebookExecutionJob

__all__ = ["describe", "duration_of", "reason", "result"]


def describe(job: NotebookExecutionJob) -> str:
    """Return the job as messages name it: by its display name and its id."""
    return f"Notebook job {job.display_name!r} ({job.job_id})"


def result(job: NotebookExecutionJob, executed_uri: str | None = None) -> dict[str, Any]:
    """Return what a task returns about its job, whether the job has ended or not.

    The keys are ``v`` (1), ``name``, ``job_id``, ``state``, ``executed_notebook`` (the ``gs://`` URI to which the
    service writes it, or ``None`` if that is not known) and ``notebook_version`` (the generation, commit or content
    hash of the notebook that ran, or ``None``).

    :param executed_uri: where the executed notebook was found.
    """
    return {
        "v": 1,
        "name": job.name,
        "job_id": job.job_id,
        "state": job.job_state.value,
        "executed_notebook": executed_uri or job.executed_notebook_uri,
        "notebook_version": job.labels.get("nbjobs-notebook"),
    }


def duration_of(job: NotebookExecutionJob) -> float | None:
    """Return the seconds from creation to the last update; ``None`` if one is not known.

    The resource has no start and end time. The last update is the closest value to an end time.
    """
    if job.create_time is None or job.update_time is None:
        return None
    return max(0.0, (job.update_time - job.create_time).total_seconds())


# The service's messages can contain markup. Only known tags are removed: "<module>" in a traceback must stay.
_MARKUP = re.compile(r"</?(?:a|b|br|code|em|i|li|ol|p|pre|span|strong|ul)(?:\s[^<>]*)?/?>", re.IGNORECASE)


def reason(job: NotebookExecutionJob) -> str:
    """Return what the service says about the job's end, as plain text on one line."""
    message = job.status.message if job.status else None
    if not message:
        return "the job was canceled" if job.job_state == JobState.CANCELLED else "the service gives no reason"
    # The message may quote what a notebook raised, with colors and control characters.
    return " ".join(plain(html.unescape(_MARKUP.sub(" ", message))).split())

"""Words about a job: its name in messages, its duration and reason, what follows, the dict that a task returns."""

from __future__ import annotations

import html
import re
from typing import TYPE_CHECKING, Any

from airflow_nbjobs.api.job import JobState
from airflow_nbjobs.notebooks.plain_text import plain
from airflow_nbjobs.run.finish import Again, Fail, SubmitAgain, WhyNot

if TYPE_CHECKING:
    from airflow_nbjobs.api.job import NotebookExecutionJob
    from airflow_nbjobs.run.capacity import Attempts
    from airflow_nbjobs.run.deadline import Deadline
    from airflow_nbjobs.run.result import Executed

__all__ = ["describe", "duration_of", "reason", "result", "why_again", "why_not_again"]


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


def why_again(step: SubmitAgain, job: NotebookExecutionJob | None, name: str, attempts: Attempts) -> str:
    """Return why the notebook is submitted again, as a sentence.

    :param job: the job as it ended; ``None`` if it no longer exists.
    :param name: the job's name.
    """
    match step.why:
        case Again.REPLACED:
            # The clear of a running task looks like a retry. The old worker may have ended the job meanwhile.
            what = "no longer exists" if job is None else "was canceled"
            return f"The job that the task re-attached to {what}: {name}. It is replaced once."
        case Again.FAILED_BEFORE:
            return f"{name} had FAILED before this try, and no cell had raised. It is submitted again."
        case Again.NO_MACHINE:
            why = reason(job).rstrip(". ") if job else ""
            return f"There was no machine for {name}: {why}. {attempts.announce(step.attempt)}."


def why_not_again(step: Fail, executed: Executed, deadline: Deadline, attempts: str) -> str:
    """Return why the notebook is not submitted again; empty if no other job was possible.

    :param attempts: the attempts that were made, in words.
    """
    match step.why_not_again:
        case WhyNot.NO_TIME:
            return deadline.why_too_late()
        case WhyNot.NO_ATTEMPT_LEFT:
            return attempts
        case WhyNot.CELLS_MAY_HAVE_RUN:
            return f"It is not submitted again, since cells may have run: {executed.problem}"
        case WhyNot.CELL_MAY_HAVE_RAISED:
            return f"It is not submitted again, since a cell may have raised: {executed.problem}"
        case None:
            return ""

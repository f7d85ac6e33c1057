"""What a job that is over means for its task: a result, or an error that says what happened and where to look.

Every way to wait ends here: synchronous, deferred, resumed, sensor.
"""

from __future__ import annotations

import html
import re
from typing import TYPE_CHECKING, Any

from airflow_nbjobs.exceptions import NotebookJobFailedError
from airflow_nbjobs.notebooks.plain_text import plain

if TYPE_CHECKING:
    from airflow_nbjobs.api.job import NotebookExecutionJob
    from airflow_nbjobs.notebooks.outcome import Outcome

__all__ = ["describe", "executed_notebook", "reason", "result", "settle"]


def settle(
    job: NotebookExecutionJob, outcome: Outcome | None = None, executed_uri: str | None = None
) -> dict[str, Any]:
    """Return the result of a job that SUCCEEDED.

    :param outcome: what came of the executed notebook, where it was read.
    :param executed_uri: where that was found.
    :raises NotebookJobFailedError: for a job in any other state: ``SUCCEEDED`` alone is success.
    """
    if job.job_state.is_success:
        return result(job, executed_uri)
    failure = outcome.failure if outcome else None
    raise NotebookJobFailedError(
        _failure(job, outcome, executed_uri),
        job_name=job.name or "",
        state=job.job_state.value,
        cell=failure.number if failure else None,
        ename=failure.ename if failure else None,
        evalue=failure.evalue if failure else None,
    )


def result(job: NotebookExecutionJob, executed_uri: str | None = None) -> dict[str, Any]:
    """Return what a task passes on about a job, whether it is over or not.

    ``executed_notebook`` is the ``gs://`` URI at which the service writes it, or ``None`` where that is not known;
    ``notebook_version`` which notebook ran: a generation, a commit, or a hash of its content.
    """
    return {
        "v": 1,
        "name": job.name,
        "job_id": (job.name or "").rpartition("/")[2],
        "state": job.job_state.value,
        "executed_notebook": executed_uri or executed_notebook(job),
        "notebook_version": job.labels.get("nbjobs-notebook"),
    }


def executed_notebook(job: NotebookExecutionJob) -> str | None:
    """Return where the service writes the executed notebook: ``{gcsOutputUri}/{job id}/{file}``.

    The file is called like the object that the notebook was read from, and ``content.ipynb`` without one. That is not
    documented; Google's own Jupyter scheduler and dbt adapter rely on it.
    """
    if not job.gcs_output_uri or not job.name:
        return None
    source = job.gcs_notebook_source.uri if job.gcs_notebook_source else None
    file = source.rpartition("/")[2] if source else "content.ipynb"
    return f"{job.gcs_output_uri.rstrip('/')}/{job.name.rpartition('/')[2]}/{file}"


def describe(job: NotebookExecutionJob) -> str:
    """Return the job as messages name it: by its display name and its id."""
    return f"Notebook job {job.display_name!r} ({(job.name or '').rpartition('/')[2]})"


def reason(job: NotebookExecutionJob) -> str:
    """Return what the service says about the job's end, as plain text on one line."""
    return _plain((job.status.message if job.status else None) or "the service gives no reason")


def _failure(job: NotebookExecutionJob, outcome: Outcome | None, executed_uri: str | None) -> str:
    why = str(outcome.failure) if outcome is not None and outcome.failure is not None else reason(job)
    where = f"Executed notebook: {executed_uri}. " if executed_uri else _guess(job)
    return f"{describe(job)} {job.job_state.word}{_duration(job)}: {why.rstrip('. ')}. {where}The job: {job.name}"


def _guess(job: NotebookExecutionJob) -> str:
    where = executed_notebook(job)
    return f"If cells ran, the executed notebook is {where}. " if where else ""


def _duration(job: NotebookExecutionJob) -> str:
    # The resource has no start and end: its last update is the nearest to an end that there is.
    if job.create_time is None or job.update_time is None:
        return ""
    seconds = max(0, int((job.update_time - job.create_time).total_seconds()))
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    parts = [(hours, "h"), (minutes, "min"), (seconds, "s")]
    shown = [f"{amount} {unit}" for amount, unit in parts if amount] or ["0 s"]
    return f" after {' '.join(shown)}"


# The service's words were seen with markup in them. Only known tags go: "<module>" in a traceback is none.
_MARKUP = re.compile(r"</?(?:a|b|br|code|em|i|li|ol|p|pre|span|strong|ul)(?:\s[^<>]*)?/?>", re.IGNORECASE)


def _plain(message: str) -> str:
    # It may quote what a notebook raised, with colours and control characters.
    return " ".join(plain(html.unescape(_MARKUP.sub(" ", message))).split())

"""The executed notebook as one safe HTML file, written beside it or to a local file."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_nbjobs.exceptions import ApiError, RenderError
from airflow_nbjobs.notebooks import storage
from airflow_nbjobs.notebooks.sizes import amount

if TYPE_CHECKING:
    from airflow_nbjobs.api.job import NotebookExecutionJob
    from airflow_nbjobs.run.result import Executed
    from airflow_nbjobs.service import JobService

__all__ = ["PageWriter"]

_KEY = re.compile(r"-[0-9a-f]{16}\Z")
_LARGEST_NOTEBOOK = 64 * 2**20
_RENDER_SECONDS = 60.0
_WRITE_SECONDS = 15.0  # are left for reading and writing


@dataclass(frozen=True)
class PageWriter:
    """Writes executed notebooks as HTML. Nothing that goes wrong with a page fails a task.

    :ivar hook: the connection.
    :ivar log: the task's logger.
    :ivar target: ``True`` to write beside the executed notebook, or a local file.
    :ivar seconds: until the task's deadline.
    """

    hook: JobService
    log: Any
    target: bool | Path
    seconds: float

    def write(self, job: NotebookExecutionJob, executed: Executed) -> str | None:
        """Write the page of a job that has ended.

        :returns: its ``gs://`` URI or path; ``None`` if it could not be written, which the log explains.
        """
        try:
            page = self._write(job, executed)
        except Exception as error:  # noqa: BLE001 - the notebook's own success or failure counts
            self.log.warning("The executed notebook was not written as HTML: %s", _explained(error))
            return None
        self.log.info("Executed notebook as HTML: %s", page)
        return page

    def _write(self, job: NotebookExecutionJob, executed: Executed) -> str:
        from airflow_nbjobs.notebooks.render_process import PLAINER, render

        if executed.uri is None:
            raise RenderError(f"the executed notebook could not be read: {executed.problem}.")
        seconds = min(_RENDER_SECONDS, (self.seconds - _WRITE_SECONDS) / len(PLAINER))
        if seconds <= 0:
            raise RenderError("the task's execution_timeout leaves no time for it. Raise execution_timeout.")
        name = executed.uri.removesuffix(".ipynb")
        with self.hook.storage_client() as client:
            found = storage.get_object(client, executed.uri, executed.generation)
            if found.size > _LARGEST_NOTEBOOK:
                limit = amount(_LARGEST_NOTEBOOK)
                raise RenderError(f"{executed.uri} has {amount(found.size)}, over the limit of {limit}.")
            content = b"".join(storage.read_chunks(client, found))
            html = render(
                content, failed_cell=_failed_cell(job, executed), title=_title(job), theme="auto", seconds=seconds
            )
            if isinstance(self.target, Path):
                self.target.write_bytes(html)
                return str(self.target)
            return storage.write_page(client, f"{name}.html", html).uri


def _title(job: NotebookExecutionJob) -> str:
    """Return the readable part of the job's display name."""
    return _KEY.sub("", job.display_name or "") or job.job_id


def _failed_cell(job: NotebookExecutionJob, executed: Executed) -> int | None:
    """Return the number of the cell that ended the job; 0 if no cell did, and ``None`` if it is not known."""
    if job.job_state.is_success:
        return 0
    outcome = executed.outcome
    if outcome is None:
        return None
    return outcome.failure.number if outcome.failure else outcome.stopped_in or 0


def _explained(error: Exception) -> str:
    """Return the reason why there is no page, and a remedy if one is known."""
    if isinstance(error, ApiError) and error.http_status == 403:
        return f"{str(error).rstrip('.')}. Let the connection's account write to the bucket (roles/storage.objectUser)."
    return str(error) or type(error).__name__

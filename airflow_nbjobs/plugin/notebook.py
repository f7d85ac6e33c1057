"""The notebook that the tab shows of a job: the executed one, or the source while the job runs."""

from __future__ import annotations

import hashlib
from collections.abc import Generator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from airflow_nbjobs import __version__, settings
from airflow_nbjobs.api.job import NotebookExecutionJob
from airflow_nbjobs.exceptions import NotFoundError
from airflow_nbjobs.hooks import NotebookExecutionJobHook
from airflow_nbjobs.notebooks import storage
from airflow_nbjobs.plugin.job import QUICK
from airflow_nbjobs.plugin.task_instance import TaskRecord
from airflow_nbjobs.plugin.unavailable import Unavailable, explaining
from airflow_nbjobs.run.summary import reason

__all__ = ["ShownNotebook", "check_size", "find_notebook", "read_notebook", "too_large"]

_FULL = "NOTEBOOK_EXECUTION_JOB_VIEW_FULL"


@dataclass(frozen=True, kw_only=True)
class ShownNotebook:
    """A notebook that may be shown, in one version.

    :ivar kind: ``executed`` or ``source``.
    :ivar stored: where it is in Cloud Storage; ``None`` for one that was sent with the job.
    :ivar job_name: the job that it is of.
    :ivar failed_cell: 0 if no cell ended the job; ``None`` if that is not known.
    """

    kind: Literal["executed", "source"]
    stored: storage.StoredObject | None
    job_name: str
    failed_cell: int | None

    @property
    def key(self) -> str:
        """A name for this version of this notebook: letters and digits."""
        version = (self.stored.uri, self.stored.generation) if self.stored else ("sent",)
        return hashlib.sha256(repr((__version__, self.job_name, self.kind, *version)).encode()).hexdigest()[:32]

    @property
    def file(self) -> str:
        """The file name for a download."""
        return self.stored.uri.rpartition("/")[2] if self.stored else "notebook.ipynb"


def find_notebook(job: NotebookExecutionJob, task: TaskRecord, hook: NotebookExecutionJobHook) -> ShownNotebook:
    """Return the notebook to show of a job of this task.

    Of an ended job, only an object below the job's own output folder is read that is not older than the job. Before, it
    is the source: what was sent with the job, or an ``.ipynb`` object in the bucket of the output folder that the
    task's rendered fields name too.

    :raises Unavailable: if the job has no notebook, or it may not be read.
    """
    if job.job_state.is_terminal:
        return _executed(job, hook)
    return _source(job, task, hook)


def check_size(shown: ShownNotebook) -> None:
    """Check that a notebook is not too large to be shown. It can be downloaded in any case.

    :raises Unavailable: if it is.
    """
    if shown.stored is not None and shown.stored.size > settings.ui_notebook_bytes():
        raise too_large(shown.stored.size)


def too_large(size: int) -> Unavailable:
    """Return the answer for a notebook that is too large to be shown.

    :param size: in bytes.
    """
    return Unavailable(
        "too_large",
        f"The notebook has {size:,} bytes, over the limit of {settings.ui_notebook_bytes():,} for this page. Download "
        "it, or raise [nbjobs] ui_notebook_bytes.",
    )


def read_notebook(shown: ShownNotebook, hook: NotebookExecutionJobHook) -> Generator[bytes, None, None]:
    """Return the content of a notebook in chunks.

    :raises Unavailable: if it can no longer be read.
    """
    with explaining("this notebook", hook.gcp_conn_id, _role(shown.stored.uri if shown.stored else "")):
        try:
            if shown.stored is None:
                job = hook.get_job(shown.job_name, _FULL, patience=QUICK)
                source = job.direct_notebook_source
                yield (source.content if source else None) or b""
            else:
                with hook.storage_client() as client:
                    yield from storage.read_chunks(client, shown.stored)
        except NotFoundError as error:
            raise Unavailable("not_written", "The notebook was deleted or replaced. Reload the page.") from error


def _executed(job: NotebookExecutionJob, hook: NotebookExecutionJobHook) -> ShownNotebook:
    if not job.gcs_output_uri:
        raise Unavailable("no_output", "The job has no output folder: its executed notebook was not kept.")
    folder = f"{job.gcs_output_uri.rstrip('/')}/{job.job_id}/"
    with explaining(folder, hook.gcp_conn_id, _role(folder)), hook.storage_client() as client:
        found = storage.find_executed(client, job.gcs_output_uri, job.job_id, job.executed_notebook_uri)
    if found is None or not found.uri.startswith(folder):
        raise Unavailable("not_written", _why_missing(job, folder))
    if _is_older(found, job):
        raise Unavailable(
            "older_notebook",
            f"{found.uri} is not shown: it is older than the job {job.job_id}, and may be of a deleted job with the "
            "same id. Clear the task to run it again.",
        )
    return ShownNotebook(
        kind="executed", stored=found, job_name=job.name or "", failed_cell=0 if job.job_state.is_success else None
    )


def _is_older(found: storage.StoredObject, job: NotebookExecutionJob) -> bool:
    """Return whether an object was there before the job, or may have been."""
    if found.created is None or job.create_time is None:
        return True
    # A job is created in the future only on an emulator whose clock was moved without its storage's.
    return found.created < job.create_time <= datetime.now(UTC)


def _why_missing(job: NotebookExecutionJob, folder: str) -> str:
    if job.job_state.is_success:
        return f"The executed notebook in {folder} was deleted or moved. Clear the task to run it again."
    why = reason(job).rstrip(". ")
    return f"The job ended without an executed notebook: {why}. The task's log and the links say more."


def _source(job: NotebookExecutionJob, task: TaskRecord, hook: NotebookExecutionJobHook) -> ShownNotebook:
    source = job.gcs_notebook_source
    if job.dataform_repository_source is not None:
        raise _elsewhere()
    if source is None or not source.uri:
        return ShownNotebook(kind="source", stored=None, job_name=job.name or "", failed_cell=0)
    # Who creates a job may name any object, also one that its account cannot read: that shows only when it has started.
    is_of_task = task.text_field("notebook") in (source.uri, f"{source.uri}#{source.generation}")
    is_near = _bucket(source.uri) == _bucket(job.gcs_output_uri or "")
    if not (is_of_task and is_near and source.uri.endswith(".ipynb")):
        raise _elsewhere()
    with explaining(source.uri, hook.gcp_conn_id, _role(source.uri)), hook.storage_client() as client:
        try:
            found = storage.get_object(client, source.uri, source.generation)
        except NotFoundError as error:
            raise Unavailable(
                "no_source", f"The source notebook {source.uri} no longer exists.", may_change=True
            ) from error
    return ShownNotebook(kind="source", stored=found, job_name=job.name or "", failed_cell=0)


def _elsewhere() -> Unavailable:
    return Unavailable("source_elsewhere", "The notebook is shown here when the job has ended.", may_change=True)


def _bucket(uri: str) -> str:
    return uri.removeprefix("gs://").partition("/")[0]


def _role(uri: str) -> str:
    return f"roles/storage.objectViewer on the bucket {_bucket(uri)!r}" if uri else "roles/aiplatform.viewer"

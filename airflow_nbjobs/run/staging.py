"""Large notebooks: put into Cloud Storage to be run, and deleted after the job."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from airflow_nbjobs import settings
from airflow_nbjobs.api.job import GcsNotebookSource
from airflow_nbjobs.exceptions import NbjobsError
from airflow_nbjobs.lineage import report_written
from airflow_nbjobs.notebooks import storage

if TYPE_CHECKING:
    from airflow_nbjobs.api.job import NotebookExecutionJob
    from airflow_nbjobs.service import JobService

__all__ = ["is_staged", "stage", "staged_uri", "unstage"]


def is_staged(job: NotebookExecutionJob) -> bool:
    """Return whether the job's content is larger than ``[nbjobs] staging_bytes``, and is staged instead of sent."""
    direct = job.direct_notebook_source
    return direct is not None and len(direct.content or b"") > settings.staging_bytes()


def stage(job: NotebookExecutionJob, file: str, hook: JobService) -> NotebookExecutionJob:
    """Write the job's direct content to Cloud Storage, and return the job with that generation as its source.

    The copy lies beside the executed notebooks, in a folder of this submission.

    :param file: name of the copy; the executed notebook gets the same.
    :raises ApiError: if Cloud Storage refuses.
    """
    content = job.direct_notebook_source.content if job.direct_notebook_source else None
    with hook.storage_client() as client:
        written = storage.write(client, staged_uri(job, file), content or b"")
    report_written(hook, written.uri)
    source = GcsNotebookSource(uri=written.uri, generation=written.generation)
    return replace(job, direct_notebook_source=None, gcs_notebook_source=source)


def unstage(job: NotebookExecutionJob, hook: JobService, warn: Callable[..., object]) -> None:
    """Delete the staged copy of a job that has ended, if there is one; a failure is logged, and the copy stays.

    The job itself says where the copy is. A retry, and pruning, delete it too.

    :param warn: called as a logger's method: a format and its values.
    """
    source = job.gcs_notebook_source
    if source is None or not source.generation or not (source.uri or "").startswith(_folder(job)):
        return
    try:
        with hook.storage_client() as client:
            storage.delete(client, storage.StoredObject(uri=source.uri or "", generation=source.generation, size=0))
    except NbjobsError as error:
        warn("Failed to delete the staged copy of the notebook of %s: %s", job.name, error)


def staged_uri(job: NotebookExecutionJob, file: str) -> str:
    """Return the ``gs://`` URI to which :func:`stage` writes."""
    return f"{_folder(job)}{file}"


def _folder(job: NotebookExecutionJob) -> str:
    return f"{(job.gcs_output_uri or '').rstrip('/')}/nbjobs-staged/{job.labels.get('nbjobs-submit')}/"

"""Methods of ``projects.locations.notebookExecutionJobs``."""

from __future__ import annotations

from typing import Any

from airflow_nbjobs.api.calls.call import PAGE_LIMIT, Call, Page, about
from airflow_nbjobs.api.calls.operations import parse_operation
from airflow_nbjobs.api.job import NotebookExecutionJob, Operation
from airflow_nbjobs.api.names import JobName, check_parent, job_of_operation
from airflow_nbjobs.exceptions import InvalidNotebookJobError

__all__ = ["create_job", "delete_job", "get_job", "list_jobs"]


def create_job(parent: str, job: NotebookExecutionJob, job_id: str | None = None) -> Call[Operation]:
    """Create a job. The job's name is in the name of the returned operation.

    :param parent: ``projects/p/locations/l``.
    :param job_id: id of the new job. By default the service picks one, which is safer: a chosen id was seen to leave
        the job pending for good (not documented).
    """
    query = {"notebookExecutionJobId": job_id} if job_id else {}
    path = f"/v1/{check_parent(parent)}/notebookExecutionJobs"
    return Call("POST", path, _parse_created, query, job.to_request(), may_repeat=False)


def get_job(name: str, view: str | None = None) -> Call[NotebookExecutionJob]:
    """Get a job.

    :param view: ``NOTEBOOK_EXECUTION_JOB_VIEW_BASIC`` (the service's default: without direct notebook content) or
        ``NOTEBOOK_EXECUTION_JOB_VIEW_FULL``.
    """
    query = {"view": view} if view else {}
    return Call("GET", f"/v1/{JobName.parse(name)}", about(name, _parse_job), query)


def list_jobs(
    parent: str,
    *,
    filter: str | None = None,  # noqa: A002 - the API's own word
    order_by: str | None = None,
    page_size: int | None = None,
    view: str | None = None,
) -> Call[Page[NotebookExecutionJob]]:
    """List jobs, one page.

    :param parent: ``projects/p/locations/l``.
    :param filter: an expression over ``notebookExecutionJob`` (the id), ``displayName`` and ``schedule``, such as
        ``displayName=~"report-.*"``. Labels and states cannot be filtered by.
    :param order_by: ``display_name``, ``create_time`` or ``update_time``, each with ``desc`` or without.
    :param page_size: 1 to 100.
    :param view: as for :func:`get_job`.
    :raises InvalidNotebookJobError: if the page size is out of range; the service would refuse it.
    """
    if page_size is not None and not 1 <= page_size <= PAGE_LIMIT:
        raise InvalidNotebookJobError(f"page_size={page_size!r} is not possible: give 1 to {PAGE_LIMIT}.")
    asked = {"filter": filter, "orderBy": order_by, "pageSize": page_size and str(page_size), "view": view}
    query = {key: value for key, value in asked.items() if value}
    read = Page.reader("notebookExecutionJobs", _parse_job)
    return Call("GET", f"/v1/{check_parent(parent)}/notebookExecutionJobs", read, query)


def delete_job(name: str) -> Call[Operation]:
    """Delete a job. A running job ends; the executed notebook in Cloud Storage stays.

    The returned operation is done and has no name if an earlier try deleted the job and its answer was lost.
    """
    return Call("DELETE", f"/v1/{JobName.parse(name)}", parse_operation, when_gone=Operation(done=True))


def _parse_job(answer: Any) -> NotebookExecutionJob:
    """Parse a job. Raises if ``name`` is missing: unrelated JSON would otherwise parse as a job without a state."""
    job = NotebookExecutionJob.from_wire(answer)
    JobName.parse(job.name)
    return job


def _parse_created(answer: Any) -> Operation:
    """Parse the operation of a create. Raises if it does not name the job, which could not be found again."""
    operation = Operation.from_wire(answer)
    job_of_operation(operation.name)
    return operation

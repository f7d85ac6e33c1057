"""Each method of the API as a value: what to send, and how to read the answer.

A call does nothing by itself; :mod:`airflow_nbjobs.api.client` sends it, in a thread or on an event loop. Paths and
parameters: discovery document ``aiplatform.v1``, revision 20261106, ``projects.locations.notebookExecutionJobs``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Generic, TypeVar

from airflow_nbjobs.api.job import NotebookExecutionJob, Operation
from airflow_nbjobs.api.names import JobName, check_parent, job_of_operation, operation_parent
from airflow_nbjobs.exceptions import InvalidNotebookJobError

__all__ = [
    "PAGE_LIMIT",
    "Call",
    "Page",
    "about",
    "cancel_operation",
    "create_job",
    "delete_job",
    "get_job",
    "get_operation",
    "list_jobs",
    "list_operations",
]

PAGE_LIMIT = 100
"""The largest page that the service gives; it refuses to be asked for more."""

T = TypeVar("T")


@dataclass(frozen=True)
class Call(Generic[T]):
    """One request.

    :ivar path: absolute; made of checked names only.
    :ivar parse: turns the answer's JSON into a value, or its bytes; what it raises makes the answer an unexpected one.
    :ivar body: sent as JSON; bytes are sent as they are.
    :ivar may_repeat: whether sending it twice does no more than sending it once.
    :ivar when_gone: the answer when a repeated call is told that there is no such resource (any more).
    :ivar headers: sent besides the client's own.
    :ivar is_raw: whether ``parse`` takes the answer's bytes.
    :ivar check: called each time before it is sent; what it raises ends the trying.
    """

    verb: str
    path: str
    parse: Callable[[Any], T]
    query: Mapping[str, str] = field(default_factory=dict)
    body: Mapping[str, Any] | bytes | None = field(default=None, repr=False)  # it may hold a notebook
    may_repeat: bool = True
    when_gone: T | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    is_raw: bool = False
    check: Callable[[], None] = lambda: None

    def with_page_token(self, token: str) -> Call[T]:
        """Return the same call for a later page."""
        return replace(self, query={**self.query, "pageToken": token})


@dataclass(frozen=True)
class Page(Generic[T]):
    """One page of a list; ``next_page_token`` is empty on the last one."""

    items: list[T]
    next_page_token: str

    @classmethod
    def reader(cls, key: str, read: Callable[[Any], T]) -> Callable[[Any], Page[T]]:
        """Return what reads a page whose items are under ``key``; a page with one that cannot be read is none.

        To leave that one out would be to say that it is not there.
        """

        def page(answer: Any) -> Page[T]:
            if "error" in answer:  # an object without items is a page too, the service's way to say that there are none
                raise ValueError("it tells of an error")
            items, token = (answer.get(each) for each in (key, "nextPageToken"))
            if not isinstance(items, list | None) or not isinstance(token, str | None):
                raise TypeError(f"{key} is no list, or nextPageToken no text")
            return cls([read(item) for item in items or []], token or "")

        return page


def about(asked: str, read: Callable[[Any], T]) -> Callable[[Any], T]:
    """Return what reads the answer about one resource; one about another, or about nothing, is none.

    :param asked: its name; the answer's may have the project's number.
    """

    def told(answer: Any) -> T:
        name = answer.get("name")
        if not isinstance(name, str) or name.split("/")[2:] != asked.split("/")[2:]:
            raise ValueError(f"it is about {name!r}")
        return read(answer)

    return told


def _read_job(answer: Any) -> NotebookExecutionJob:
    """Read a job, which is none without a name: other JSON than was asked for is read as a job of no state."""
    job = NotebookExecutionJob.from_wire(answer)
    JobName.parse(job.name)
    return job


def _read_operation(answer: Any) -> Operation:
    """Read an operation, which is none without a name."""
    operation = Operation.from_wire(answer)
    operation_parent(operation.name)
    return operation


def create_job(parent: str, job: NotebookExecutionJob, job_id: str | None = None) -> Call[Operation]:
    """Create a job in ``projects/p/locations/l``; the operation's name holds the job's.

    :param job_id: the id that the job shall have. The service picks one when it is left out, which is the safe way: a
        chosen id was seen to leave the job pending for good (not documented).
    """
    query = {"notebookExecutionJobId": job_id} if job_id else {}
    path = f"/v1/{check_parent(parent)}/notebookExecutionJobs"
    return Call("POST", path, _read_create, query, job.to_request(), may_repeat=False)


def _read_create(answer: Any) -> Operation:
    """Read the operation of a create, which is of no use without the job in its name."""
    operation = Operation.from_wire(answer)
    job_of_operation(operation.name)
    return operation


def get_job(name: str, view: str | None = None) -> Call[NotebookExecutionJob]:
    """Get a job.

    :param view: ``NOTEBOOK_EXECUTION_JOB_VIEW_BASIC`` (the service's default: without direct notebook content) or
        ``NOTEBOOK_EXECUTION_JOB_VIEW_FULL``.
    """
    query = {"view": view} if view else {}
    return Call("GET", f"/v1/{JobName.parse(name)}", about(name, _read_job), query)


def list_jobs(
    parent: str,
    *,
    filter: str | None = None,  # noqa: A002 - the API's own word
    order_by: str | None = None,
    page_size: int | None = None,
    view: str | None = None,
) -> Call[Page[NotebookExecutionJob]]:
    """List the jobs of ``projects/p/locations/l``, one page.

    :param filter: an expression over ``notebookExecutionJob`` (the id), ``displayName`` and ``schedule``, such as
        ``displayName=~"report-.*"``. Labels and states cannot be filtered by.
    :param order_by: ``display_name``, ``create_time`` or ``update_time``, each with ``desc`` or without.
    :param page_size: 1 to 100.
    :raises InvalidNotebookJobError: for another page size; the service refuses it.
    """
    if page_size is not None and not 1 <= page_size <= PAGE_LIMIT:
        raise InvalidNotebookJobError(f"page_size={page_size!r} is not possible: give 1 to {PAGE_LIMIT}.")
    asked = {"filter": filter, "orderBy": order_by, "pageSize": page_size and str(page_size), "view": view}
    query = {key: value for key, value in asked.items() if value}
    read = Page.reader("notebookExecutionJobs", _read_job)
    return Call("GET", f"/v1/{check_parent(parent)}/notebookExecutionJobs", read, query)


def delete_job(name: str) -> Call[Operation]:
    """Delete a job. What is left of a running one ends with it; the executed notebook in Cloud Storage stays.

    The operation is done and has no name when the job is gone because of a try whose answer was lost.
    """
    return Call("DELETE", f"/v1/{JobName.parse(name)}", _read_operation, when_gone=Operation(done=True))


def get_operation(name: str) -> Call[Operation]:
    """Get a long-running operation."""
    operation_parent(name)
    return Call("GET", f"/v1/{name}", about(name, _read_operation))


def list_operations(job_name: str) -> Call[Page[Operation]]:
    """List the operations of a job, one page; that is how the create of an adopted job is found."""
    path = f"/v1/{JobName.parse(job_name)}/operations"
    return Call("GET", path, Page.reader("operations", _read_operation))


def cancel_operation(name: str) -> Call[None]:
    """Ask the service to cancel an operation, best effort; the API has no other way to cancel a job."""
    operation_parent(name)
    return Call("POST", f"/v1/{name}:cancel", lambda _: None, {}, {})

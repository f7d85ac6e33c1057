"""Methods of ``projects.locations.notebookExecutionJobs.operations``, and those of other resources' operations."""

from __future__ import annotations

from typing import Any

from airflow_nbjobs.api.calls.call import Call, Page, about
from airflow_nbjobs.api.job import Operation
from airflow_nbjobs.api.names import JobName, operation_parent

__all__ = ["cancel_operation", "get_operation", "list_operations", "parse_operation"]


def get_operation(name: str) -> Call[Operation]:
    """Get a long-running operation."""
    operation_parent(name)
    return Call("GET", f"/v1/{name}", about(name, parse_operation))


def list_operations(job_name: str) -> Call[Page[Operation]]:
    """List the operations of a job, one page. The create operation of an adopted job is found like this."""
    path = f"/v1/{JobName.parse(job_name)}/operations"
    return Call("GET", path, Page.reader("operations", parse_operation))


def cancel_operation(name: str) -> Call[None]:
    """Ask the service to cancel an operation, best effort. The API has no other way to cancel a job."""
    operation_parent(name)
    return Call("POST", f"/v1/{name}:cancel", lambda _: None, {}, {})


def parse_operation(answer: Any) -> Operation:
    """Parse an operation. Raises if ``name`` is missing: unrelated JSON would otherwise parse as one that goes on."""
    operation = Operation.from_wire(answer)
    operation_parent(operation.name)
    return operation

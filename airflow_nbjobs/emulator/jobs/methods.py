"""The methods of the resource: what each takes from a request, and what it answers."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from airflow_nbjobs.emulator.errors import invalid
from airflow_nbjobs.emulator.http import MethodRequest, MethodRoute
from airflow_nbjobs.emulator.jobs import pages
from airflow_nbjobs.emulator.jobs.checks import check_job, check_job_id
from airflow_nbjobs.emulator.jobs.filters import parse_filter, parse_order
from airflow_nbjobs.emulator.jobs.model import Jobs
from airflow_nbjobs.emulator.jobs.schema import read_job
from airflow_nbjobs.emulator.operations import listed
from airflow_nbjobs.emulator.page_tokens import fingerprint, page_size

_VIEWS = [f"NOTEBOOK_EXECUTION_JOB_VIEW_{view}" for view in ("UNSPECIFIED", "BASIC", "FULL")]
_JOBS = "/projects/{project}/locations/{location}/notebookExecutionJobs"
_JOB = _JOBS + "/{job}"
_OPERATION = _JOB + "/operations/{operation}"


def routes(jobs: Jobs) -> list[MethodRoute]:
    """Return the routes of the resource."""
    methods = [
        ("/v1" + _JOBS, "POST", "create", create),
        ("/v1" + _JOBS, "GET", "list", list_jobs),
        ("/v1" + _JOB, "GET", "get", get),
        ("/v1" + _JOB, "DELETE", "delete", delete),
    ]
    # Google's own client asks for operations under /ui, the first of the bindings in its service description.
    for prefix in ("/v1", "/ui"):
        methods += [
            (prefix + _JOB + "/operations", "GET", "list_operations", list_operations),
            (prefix + _OPERATION + ":cancel", "POST", "cancel", cancel),
            (prefix + _OPERATION, "GET", "get_operation", get_operation),
        ]
    return [(path, verb, name, partial(act, jobs)) for path, verb, name, act in methods]


async def create(jobs: Jobs, call: MethodRequest) -> dict[str, Any]:
    """Create a job; answer with its create operation."""
    job_id = call.only("notebookExecutionJobId").get("notebookExecutionJobId", "")
    if job_id:  # Terraform sends an empty one when the user gave none
        check_job_id(job_id)
    job = read_job(call.body)
    check_job(job, call.parent)
    return jobs.create(call.parent, job_id, job)


async def get(jobs: Jobs, call: MethodRequest) -> dict[str, Any]:
    """Answer with a job, by default in the BASIC view."""
    full = _is_full(call.only("view"))
    return jobs.get(call.parent, call.path["job"]).to_wire(full=full)


async def list_jobs(jobs: Jobs, call: MethodRequest) -> dict[str, Any]:
    """Answer with a page of jobs."""
    query = call.only("filter", "orderBy", "pageSize", "pageToken", "view")
    wanted, order_by = query.get("filter", ""), query.get("orderBy", "")
    size, full, order = page_size(query.get("pageSize")), _is_full(query), parse_order(order_by)
    where, parameters = parse_filter(wanted)
    request = fingerprint(str(call.parent), wanted, order_by)
    values: list[Any] = [*parameters]
    if query.get("pageToken"):
        beyond, places = pages.after(query["pageToken"], order, request)
        where, values = f"{where} AND {beyond}", [*values, *places]
    found = jobs.book.page(call.parent, where, values, pages.order_sql(order), size + 1)
    more, found = len(found) > size, found[:size]
    wire = [(jobs.book.job(job.seq) if full else job).to_wire(full=full) for job in found]
    answer: dict[str, Any] = {"notebookExecutionJobs": wire} if wire else {}
    if more:
        answer["nextPageToken"] = pages.token_after(found[-1], order, request)
    return answer


async def delete(jobs: Jobs, call: MethodRequest) -> dict[str, Any]:
    """Delete a job; answer with the delete operation."""
    call.only()
    return jobs.delete(call.parent, call.path["job"])


async def get_operation(jobs: Jobs, call: MethodRequest) -> dict[str, Any]:
    """Answer with one operation of a job."""
    call.only()
    return jobs.operation(call.parent, call.path["job"], call.path["operation"])


async def list_operations(jobs: Jobs, call: MethodRequest) -> dict[str, Any]:
    """Answer with all operations of a job; a job never has enough for a second page."""
    return listed(call, lambda: jobs.operations(call.parent, call.path["job"]))


async def cancel(jobs: Jobs, call: MethodRequest) -> dict[str, Any]:
    """Cancel an operation if it can be cancelled; the answer is empty."""
    call.only()
    jobs.cancel(call.parent, call.path["job"], call.path["operation"])
    return {}


def _is_full(query: Mapping[str, str]) -> bool:
    view = query.get("view", _VIEWS[0])
    if view in ("0", "1", "2"):  # Google's own REST client sends the numbers
        view = _VIEWS[int(view)]
    if view not in _VIEWS:
        raise invalid("view", f"Invalid value at 'view' (TYPE_ENUM), {view!r}")
    return view == _VIEWS[2]

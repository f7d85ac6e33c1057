"""The methods of the resource: what each takes from a request, and what it answers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from airflow_nbjobs.emulator import pages
from airflow_nbjobs.emulator.checks import check_job, check_job_id
from airflow_nbjobs.emulator.errors import invalid
from airflow_nbjobs.emulator.filters import parse_filter, parse_order
from airflow_nbjobs.emulator.ids import Parent
from airflow_nbjobs.emulator.schema import duration_nanoseconds, read_job

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_nbjobs.emulator.jobs import Jobs

_VIEWS = (
    "NOTEBOOK_EXECUTION_JOB_VIEW_UNSPECIFIED",
    "NOTEBOOK_EXECUTION_JOB_VIEW_BASIC",
    "NOTEBOOK_EXECUTION_JOB_VIEW_FULL",
)
# A wait without a timeout is up to the service; so is one that is longer.
_LONGEST_WAIT_SECONDS = 60.0


@dataclass(frozen=True)
class Call:
    """One request, read: the path's segments, the query under camelCase names, the body's JSON."""

    jobs: Jobs
    path: Mapping[str, str]
    query: Mapping[str, str]
    body: object

    @property
    def parent(self) -> Parent:
        """The project and the location."""
        return Parent.parse(self.path["project"], self.path["location"])

    def only(self, *known: str) -> Mapping[str, str]:
        """Give the query when it has no parameters but these.

        :raises ApiError: 400 for another one.
        """
        for name in self.query:
            if name not in known:
                text = f'Invalid JSON payload received. Unknown name "{name}": Cannot bind query parameter.'
                raise invalid(name, text)
        return self.query


Method: TypeAlias = Callable[[Call], Awaitable[dict[str, Any]]]


async def create(call: Call) -> dict[str, Any]:
    """Create a job; answer with its create operation."""
    job_id = call.only("notebookExecutionJobId").get("notebookExecutionJobId", "")
    if job_id:  # Terraform sends an empty one when it means none
        check_job_id(job_id)
    job = read_job(call.body)
    check_job(job, call.parent)
    return call.jobs.create(call.parent, job_id, job)


async def get(call: Call) -> dict[str, Any]:
    """Answer with a job, by default in the BASIC view."""
    full = _is_full(call.only("view"))
    return call.jobs.get(call.parent, call.path["job"]).to_wire(full=full)


async def list_jobs(call: Call) -> dict[str, Any]:
    """Answer with a page of jobs."""
    query = call.only("filter", "orderBy", "pageSize", "pageToken", "view")
    wanted, order_by = query.get("filter", ""), query.get("orderBy", "")
    size, full, order = pages.page_size(query.get("pageSize")), _is_full(query), parse_order(order_by)
    where, parameters = parse_filter(wanted)
    question = pages.fingerprint(str(call.parent), wanted, order_by)
    values: list[Any] = [*parameters]
    if query.get("pageToken"):
        beyond, places = pages.after(order, pages.read_token(query["pageToken"], order, question))
        where, values = f"{where} AND {beyond}", [*values, *places]
    book = call.jobs.book
    jobs = book.page(call.parent, where, values, pages.order_sql(order), size + 1)
    more, jobs = len(jobs) > size, jobs[:size]
    answer: dict[str, Any] = {}
    if jobs:
        answer["notebookExecutionJobs"] = [(book.job(job.seq) if full else job).to_wire(full=full) for job in jobs]
    if more:
        answer["nextPageToken"] = pages.token_after(jobs[-1], order, question)
    return answer


async def delete(call: Call) -> dict[str, Any]:
    """Delete a job; answer with the delete operation."""
    call.only()
    return call.jobs.delete(call.parent, call.path["job"])


async def get_operation(call: Call) -> dict[str, Any]:
    """Answer with one operation of a job."""
    call.only()
    return call.jobs.operation(call.parent, call.path["job"], call.path["operation"])


async def list_operations(call: Call) -> dict[str, Any]:
    """Answer with all operations of a job: there are never enough for a second page."""
    query = call.only("filter", "pageSize", "pageToken", "returnPartialSuccess")
    for name in ("filter", "pageToken"):
        if query.get(name):
            raise invalid(name, f"Invalid {name} {query[name]!r}: the emulator lists all operations of a job at once.")
    operations = call.jobs.operations(call.parent, call.path["job"])
    return {"operations": operations} if operations else {}


async def cancel(call: Call) -> dict[str, Any]:
    """Cancel an operation as far as it can be; the answer is empty."""
    call.only()
    call.jobs.cancel(call.parent, call.path["job"], call.path["operation"])
    return {}


async def delete_operation(call: Call) -> dict[str, Any]:
    """Delete an operation's record; the answer is empty."""
    call.only()
    call.jobs.forget(call.parent, call.path["job"], call.path["operation"])
    return {}


async def wait_operation(call: Call) -> dict[str, Any]:
    """Answer with an operation when it is done or the timeout has passed, a minute at most."""
    text = call.only("timeout").get("timeout", f"{_LONGEST_WAIT_SECONDS:g}s")
    try:
        seconds = duration_nanoseconds(text) / 10**9
    except ValueError:
        raise invalid("timeout", f"Invalid value at 'timeout' (TYPE_DURATION), {text!r}") from None
    seconds = min(seconds, _LONGEST_WAIT_SECONDS)
    return await call.jobs.wait(call.parent, call.path["job"], call.path["operation"], seconds)


def _is_full(query: Mapping[str, str]) -> bool:
    view = query.get("view", _VIEWS[0])
    if view in ("0", "1", "2"):  # Google's own REST client sends the numbers
        view = _VIEWS[int(view)]
    if view not in _VIEWS:
        raise invalid("view", f"Invalid value at 'view' (TYPE_ENUM), {view!r}")
    return view == _VIEWS[2]

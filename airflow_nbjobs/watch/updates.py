"""What a poller reads of the jobs: its two calls, and their answers."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Any, NamedTuple

from airflow_nbjobs.api import calls
from airflow_nbjobs.api.calls import Call, Page
from airflow_nbjobs.api.wire import parse_time

__all__ = ["JobUpdate", "get_update", "list_updates"]


class JobUpdate(NamedTuple):
    """What a poller needs of a job. A page of these is parsed in a fraction of the time that whole jobs take.

    :ivar job_id: last segment of the job's name.
    :ivar state: the service's ``jobState``; empty if it is missing.
    :ivar update_time: ``None`` if it is missing or not valid.
    :ivar wire: the job as the service sent it.
    """

    job_id: str
    state: str
    update_time: datetime | None
    wire: Mapping[str, Any] = MappingProxyType({})

    @classmethod
    def from_wire(cls, job: Mapping[str, Any]) -> JobUpdate:
        """Parse a job. A field that is not valid counts as missing.

        :raises ValueError: if the name is missing: the answer is not a job.
        """
        name, state = job.get("name"), job.get("jobState")
        job_id = name.rpartition("/")[2] if isinstance(name, str) else ""
        if not job_id:
            raise ValueError(f"a job without a name: {name!r}")
        return cls(job_id, state if isinstance(state, str) else "", parse_time(job.get("updateTime")), job)


def list_updates(parent: str) -> Call[Page[JobUpdate]]:
    """Return the call for the jobs that changed last, in pages as large as the service allows.

    :param parent: ``projects/p/locations/l``.
    """
    call = calls.list_jobs(parent, order_by="update_time desc", page_size=calls.PAGE_LIMIT)
    return Call(call.verb, call.path, Page.reader("notebookExecutionJobs", JobUpdate.from_wire), call.query)


def get_update(name: str) -> Call[JobUpdate]:
    """Return the call for one job.

    :param name: whole name of the job.
    """
    call = calls.get_job(name)
    return Call(call.verb, call.path, calls.about(name, JobUpdate.from_wire), call.query)

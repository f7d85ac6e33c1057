"""The methods of the resource: what each takes from a request, and what it answers."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from airflow_nbjobs.emulator import operations
from airflow_nbjobs.emulator.http import MethodRequest, MethodRoute, read_mask
from airflow_nbjobs.emulator.json_format import read_message
from airflow_nbjobs.emulator.queries import Field, Query
from airflow_nbjobs.emulator.schedules.model import COLLECTION, Schedules
from airflow_nbjobs.emulator.schedules.schema import RESUME, read_schedule

_SCHEDULES = f"/v1/projects/{{project}}/locations/{{location}}/{COLLECTION}"
_SCHEDULE = _SCHEDULES + "/{resource}"
_TIMES = ("createTime", "startTime", "endTime", "nextRunTime")


def _time(name: str) -> Field:
    operators = ("=", "!=", "<", ">", "<=", ">=", *([":*"] if name == "endTime" else []))
    return Field(lambda wire: wire.get(name), operators, is_time=True)


def _request(name: str) -> Field:
    return Field(lambda wire: name if name in wire else None, (":*",))


_FIELDS: Mapping[str, Field] = {
    "displayName": Field(lambda wire: wire.get("displayName"), ("=", "!=", ":")),
    "state": Field(lambda wire: wire.get("state")),
    **{name: _time(name) for name in _TIMES},
    **{name: _request(name) for name in ("createNotebookExecutionJobRequest", "createPipelineJobRequest")},
}
_QUERY = Query(key="schedules", fields=_FIELDS, orders=_TIMES)


def routes(schedules: Schedules) -> list[MethodRoute]:
    """Return the routes of the resource and of its operations."""
    methods = [
        (_SCHEDULE + ":pause", "POST", "pause_schedule", pause),
        (_SCHEDULE + ":resume", "POST", "resume_schedule", resume),
        (_SCHEDULES, "POST", "create_schedule", create),
        (_SCHEDULES, "GET", "list_schedules", list_schedules),
        (_SCHEDULE, "GET", "get_schedule", get),
        (_SCHEDULE, "PATCH", "patch_schedule", patch),
        (_SCHEDULE, "DELETE", "delete_schedule", delete),
    ]
    own = [(path, verb, name, partial(act, schedules)) for path, verb, name, act in methods]
    return own + operations.routes(schedules.records, COLLECTION)


async def create(schedules: Schedules, call: MethodRequest) -> dict[str, Any]:
    """Create a schedule."""
    call.only()
    return schedules.create(call.parent, read_schedule(call.body))


async def get(schedules: Schedules, call: MethodRequest) -> dict[str, Any]:
    """Answer with a schedule."""
    call.only()
    return schedules.get(call.parent, call.path["resource"])


async def list_schedules(schedules: Schedules, call: MethodRequest) -> dict[str, Any]:
    """Answer with a page of schedules."""
    query = call.only("filter", "orderBy", "pageSize", "pageToken")
    return _QUERY.page(schedules.records.all(COLLECTION, call.parent), str(call.parent), query)


async def patch(schedules: Schedules, call: MethodRequest) -> dict[str, Any]:
    """Change some fields of a schedule."""
    return schedules.patch(call.parent, call.path["resource"], read_schedule(call.body), read_mask(call))


async def delete(schedules: Schedules, call: MethodRequest) -> dict[str, Any]:
    """Delete a schedule; answer with the operation."""
    call.only()
    return schedules.delete(call.parent, call.path["resource"])


async def pause(schedules: Schedules, call: MethodRequest) -> dict[str, Any]:
    """Pause a schedule; the answer is empty."""
    call.only()
    read_message(call.body, {}, "request")
    schedules.pause(call.parent, call.path["resource"])
    return {}


async def resume(schedules: Schedules, call: MethodRequest) -> dict[str, Any]:
    """Resume a schedule; the answer is empty."""
    call.only()
    asked = read_message(call.body, RESUME, "request")
    schedules.resume(call.parent, call.path["resource"], catch_up=asked.get("catchUp", False))
    return {}

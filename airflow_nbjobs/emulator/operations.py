"""The long-running operations of schedules and runtime templates.

The first answer to a request never says that its operation is done, although it is: a client has to look again.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from airflow_nbjobs.emulator.errors import invalid, not_found
from airflow_nbjobs.emulator.http import MethodRequest, MethodRoute
from airflow_nbjobs.emulator.records import Records, Wire
from airflow_nbjobs.emulator.resources import new_id

_TYPES = "type.googleapis.com/google.cloud.aiplatform.v1"


def begin(records: Records, resource: str, metadata: str, time: str, response: Wire | None) -> Wire:
    """Keep an operation that is done, and return it as it is first answered.

    :param resource: name of the resource.
    :param metadata: the message type of its metadata.
    :param time: of its begin and its end.
    :param response: the resource that it gives, with ``@type``; None for an empty one.
    """
    times = {"createTime": time, "updateTime": time}
    begun = {
        "name": f"{resource}/operations/{new_id()}",
        "metadata": {"@type": f"{_TYPES}.{metadata}", "genericMetadata": times},
    }
    empty = {"@type": "type.googleapis.com/google.protobuf.Empty"}
    records.add_operation({**begun, "done": True, "response": response or empty})
    return begun


def typed(kind: str, wire: Wire) -> Wire:
    """Return a resource as the ``google.protobuf.Any`` of an operation's response."""
    return {"@type": f"{_TYPES}.{kind}", **wire}


def listed(call: MethodRequest, read: Callable[[], list[Wire]]) -> dict[str, Any]:
    """Answer with all operations of a resource; it never has enough for a second page."""
    query = call.only("filter", "pageSize", "pageToken", "returnPartialSuccess")
    for name in ("filter", "pageToken"):
        if query.get(name):
            raise invalid(name, f"Invalid {name} {query[name]!r}: the emulator lists all operations at once.")
    found = read()
    return {"operations": found} if found else {}


def routes(records: Records, collection: str) -> list[MethodRoute]:
    """Return the routes of a collection's operations."""
    resource = f"/projects/{{project}}/locations/{{location}}/{collection}/{{resource}}"
    methods: list[MethodRoute] = []
    # Google's own client asks for operations under /ui, the first of the bindings in its service description.
    for prefix in ("/v1", "/ui"):
        one = f"{prefix}{resource}/operations/{{operation}}"
        methods += [
            (f"{prefix}{resource}/operations", "GET", "list_operations", partial(_list, records, collection)),
            (f"{one}:cancel", "POST", "cancel", partial(_cancel, records, collection)),
            (one, "GET", "get_operation", partial(_get, records, collection)),
        ]
    return methods


def _resource(collection: str, call: MethodRequest) -> str:
    return f"{call.parent}/{collection}/{call.path['resource']}"


async def _list(records: Records, collection: str, call: MethodRequest) -> dict[str, Any]:
    return listed(call, lambda: records.operations(_resource(collection, call)))


async def _get(records: Records, collection: str, call: MethodRequest) -> dict[str, Any]:
    call.only()
    return _find(records, collection, call)


async def _cancel(records: Records, collection: str, call: MethodRequest) -> dict[str, Any]:
    call.only()
    _find(records, collection, call)  # it is done
    return {}


def _find(records: Records, collection: str, call: MethodRequest) -> Wire:
    name = f"{_resource(collection, call)}/operations/{call.path['operation']}"
    for operation in records.operations(_resource(collection, call)):
        if operation["name"] == name:
            return operation
    raise not_found(name)

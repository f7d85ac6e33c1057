"""The methods of the resource: what each takes from a request, and what it answers."""

from __future__ import annotations

from functools import partial
from typing import Any

from airflow_nbjobs.emulator import operations
from airflow_nbjobs.emulator.http import MethodRequest, MethodRoute, read_mask
from airflow_nbjobs.emulator.json_format import read_message
from airflow_nbjobs.emulator.queries import Field, Query
from airflow_nbjobs.emulator.records import Wire
from airflow_nbjobs.emulator.templates.model import COLLECTION, Templates
from airflow_nbjobs.emulator.templates.schema import OUTPUT_ONLY, TEMPLATE

_TEMPLATES = f"/v1/projects/{{project}}/locations/{{location}}/{COLLECTION}"
_TEMPLATE = _TEMPLATES + "/{resource}"
_QUERY = Query(
    key=COLLECTION,
    fields={
        "notebookRuntimeTemplate": Field(lambda wire: wire["name"].rpartition("/")[2]),
        "displayName": Field(lambda wire: wire.get("displayName")),
        "notebookRuntimeType": Field(lambda wire: wire.get("notebookRuntimeType")),
        "machineType": Field(lambda wire: wire.get("machineSpec", {}).get("machineType")),
        "acceleratorType": Field(lambda wire: wire.get("machineSpec", {}).get("acceleratorType")),
    },
    orders=("displayName", "createTime", "updateTime"),
    has_labels=True,
)


def routes(templates: Templates) -> list[MethodRoute]:
    """Return the routes of the resource and of its operations."""
    methods = [
        (_TEMPLATES, "POST", "create_template", create),
        (_TEMPLATES, "GET", "list_templates", list_templates),
        (_TEMPLATE, "GET", "get_template", get),
        (_TEMPLATE, "PATCH", "patch_template", patch),
        (_TEMPLATE, "DELETE", "delete_template", delete),
    ]
    own = [(path, verb, name, partial(act, templates)) for path, verb, name, act in methods]
    return own + operations.routes(templates.records, COLLECTION)


async def create(templates: Templates, call: MethodRequest) -> dict[str, Any]:
    """Create a template; answer with the operation."""
    template_id = call.only("notebookRuntimeTemplateId").get("notebookRuntimeTemplateId", "")
    return templates.create(call.parent, template_id, _read(call.body))


async def get(templates: Templates, call: MethodRequest) -> dict[str, Any]:
    """Answer with a template."""
    call.only()
    return templates.get(call.parent, call.path["resource"])


async def list_templates(templates: Templates, call: MethodRequest) -> dict[str, Any]:
    """Answer with a page of templates."""
    query = call.only("filter", "orderBy", "pageSize", "pageToken")
    return _QUERY.page(templates.all(call.parent), str(call.parent), query)


async def patch(templates: Templates, call: MethodRequest) -> dict[str, Any]:
    """Change some fields of a template."""
    return templates.patch(call.parent, call.path["resource"], _read(call.body), read_mask(call))


async def delete(templates: Templates, call: MethodRequest) -> dict[str, Any]:
    """Delete a template; answer with the operation."""
    call.only()
    return templates.delete(call.parent, call.path["resource"])


def _read(body: object) -> Wire:
    template = read_message(body, TEMPLATE, "notebook_runtime_template")
    return {field: value for field, value in template.items() if field not in OUTPUT_ONLY}

"""Clients of schedules and runtime templates as the contract's scenarios use them: plain dicts, in and out."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import urlsplit

from google.cloud import aiplatform_v1
from google.cloud.aiplatform_v1.services.notebook_service.transports import NotebookServiceRestTransport
from google.cloud.aiplatform_v1.services.schedule_service.transports import ScheduleServiceRestTransport
from google.longrunning import operations_pb2
from google.protobuf.json_format import MessageToDict

from airflow_nbjobs.api import calls
from airflow_nbjobs.api.schedule import Schedule
from airflow_nbjobs.api.template import NotebookRuntimeTemplate
from tests.contract import own_client
from tests.contract.google_client import check, to_wire, translated
from tests.contract.own_client import OwnAsyncClient, OwnClient

if TYPE_CHECKING:
    import builtins

    from google.auth.credentials import Credentials


class ResourceClient(Protocol):
    """Each method raises ``ServiceError`` when the service refuses, and checks what is on the wire."""

    def create_schedule(self, parent: str, schedule: dict[str, Any]) -> dict[str, Any]:
        """Create a schedule and return it."""

    def create_template(self, parent: str, template: dict[str, Any], template_id: str = "") -> dict[str, Any]:
        """Create a template and return the operation."""

    def get(self, name: str) -> dict[str, Any]:
        """Return a schedule or a template."""

    def list(
        self, collection: str, *, where: str = "", order_by: str = "", page_size: int = 0, page_token: str = ""
    ) -> dict[str, Any]:
        """Return one page of a collection, such as ``projects/p/locations/l/schedules``."""

    def patch(self, resource: dict[str, Any], fields: builtins.list[str]) -> dict[str, Any]:
        """Change fields, which are named in snake case, and return the resource."""

    def delete(self, name: str) -> dict[str, Any]:
        """Delete it and return the operation."""

    def pause(self, name: str) -> None:
        """Pause a schedule."""

    def resume(self, name: str, *, catch_up: bool = False) -> None:
        """Resume a schedule."""

    def get_operation(self, name: str) -> dict[str, Any]:
        """Return an operation."""


def is_schedule(name: str) -> bool:
    """Tell the names of schedules, and of their collection, from those of templates."""
    return "/schedules" in name


class GoogleResources:
    """An adapter to Google's ``ScheduleServiceClient`` and ``NotebookServiceClient``, in their REST transports."""

    def __init__(self, endpoint: str, credentials: Credentials) -> None:
        parts = urlsplit(endpoint)
        known = {"host": parts.netloc, "url_scheme": parts.scheme, "credentials": credentials}
        transports = ScheduleServiceRestTransport(**known), NotebookServiceRestTransport(**known)
        for transport in transports:
            transport._session.hooks["response"].append(check)
        self.schedules = aiplatform_v1.ScheduleServiceClient(transport=transports[0])
        self.notebooks = aiplatform_v1.NotebookServiceClient(transport=transports[1])

    def close(self) -> None:
        self.schedules.transport.close()
        self.notebooks.transport.close()

    def create_schedule(self, parent: str, schedule: dict[str, Any]) -> dict[str, Any]:
        with translated():
            return to_wire(self.schedules.create_schedule(parent=parent, schedule=_schedule(schedule)))

    def create_template(self, parent: str, template: dict[str, Any], template_id: str = "") -> dict[str, Any]:
        with translated():
            made = self.notebooks.create_notebook_runtime_template(
                parent=parent, notebook_runtime_template=_template(template), notebook_runtime_template_id=template_id
            )
            return MessageToDict(made.operation)

    def get(self, name: str) -> dict[str, Any]:
        get = self.schedules.get_schedule if is_schedule(name) else self.notebooks.get_notebook_runtime_template
        with translated():
            return to_wire(get(name=name))

    def list(
        self, collection: str, *, where: str = "", order_by: str = "", page_size: int = 0, page_token: str = ""
    ) -> dict[str, Any]:
        asked = {"filter": where, "order_by": order_by, "page_size": page_size, "page_token": page_token}
        asked["parent"] = collection.rpartition("/")[0]
        ours = is_schedule(collection)
        found = self.schedules.list_schedules if ours else self.notebooks.list_notebook_runtime_templates
        with translated():
            return to_wire(next(iter(found(asked).pages)))

    def patch(self, resource: dict[str, Any], fields: builtins.list[str]) -> dict[str, Any]:
        mask = {"paths": fields}
        with translated():
            if is_schedule(resource["name"]):
                return to_wire(self.schedules.update_schedule(schedule=_schedule(resource), update_mask=mask))
            changed = {"notebook_runtime_template": _template(resource), "update_mask": mask}
            return to_wire(self.notebooks.update_notebook_runtime_template(**changed))

    def delete(self, name: str) -> dict[str, Any]:
        delete = (
            self.schedules.delete_schedule if is_schedule(name) else self.notebooks.delete_notebook_runtime_template
        )
        with translated():
            return MessageToDict(delete(name=name).operation)

    def pause(self, name: str) -> None:
        with translated():
            self.schedules.pause_schedule(name=name)

    def resume(self, name: str, *, catch_up: bool = False) -> None:
        with translated():
            self.schedules.resume_schedule({"name": name, "catch_up": catch_up})

    def get_operation(self, name: str) -> dict[str, Any]:
        client = self.schedules if is_schedule(name) else self.notebooks
        with translated():
            return MessageToDict(client.get_operation(operations_pb2.GetOperationRequest(name=name)))


def _schedule(schedule: dict[str, Any]) -> Any:
    return aiplatform_v1.Schedule.from_json(json.dumps(schedule))


def _template(template: dict[str, Any]) -> Any:
    return aiplatform_v1.NotebookRuntimeTemplate.from_json(json.dumps(template))


class OwnResources:
    """An adapter to our own client, sync or async."""

    kind: type[OwnClient] = OwnClient

    def __init__(self, endpoint: str, credentials: Credentials) -> None:
        self.client = self.kind(endpoint, credentials)

    def close(self) -> None:
        self.client.close()

    def _send(self, call: calls.Call[Any]) -> Any:
        with own_client.translated():
            return self.client.send(call)

    def create_schedule(self, parent: str, schedule: dict[str, Any]) -> dict[str, Any]:
        return self._send(calls.create_schedule(parent, Schedule.from_wire(schedule))).to_wire()

    def create_template(self, parent: str, template: dict[str, Any], template_id: str = "") -> dict[str, Any]:
        made = calls.create_template(parent, NotebookRuntimeTemplate.from_wire(template), template_id or None)
        return self._send(made).to_wire()

    def get(self, name: str) -> dict[str, Any]:
        return self._send(_resource(name).get(name)).to_wire()

    def list(
        self, collection: str, *, where: str = "", order_by: str = "", page_size: int = 0, page_token: str = ""
    ) -> dict[str, Any]:
        parent, _, key = collection.rpartition("/")
        call = _resource(collection).list(parent, filter=where, order_by=order_by, page_size=page_size or None)
        page = self._send(call.with_page_token(page_token) if page_token else call)
        answer = {key: [item.to_wire() for item in page.items], "nextPageToken": page.next_page_token}
        return {key: value for key, value in answer.items() if value}

    def patch(self, resource: dict[str, Any], fields: builtins.list[str]) -> dict[str, Any]:
        name = resource["name"]
        kind = Schedule if is_schedule(name) else NotebookRuntimeTemplate
        return self._send(_resource(name).patch(kind.from_wire(resource), map(_camel_case, fields))).to_wire()

    def delete(self, name: str) -> dict[str, Any]:
        return self._send(_resource(name).delete(name)).to_wire()

    def pause(self, name: str) -> None:
        self._send(calls.pause_schedule(name))

    def resume(self, name: str, *, catch_up: bool = False) -> None:
        self._send(calls.resume_schedule(name, catch_up=catch_up))

    def get_operation(self, name: str) -> dict[str, Any]:
        return self._send(calls.get_operation(name)).to_wire()


class OwnAsyncResources(OwnResources):
    """The same over the async client."""

    kind = OwnAsyncClient


def _resource(name: str) -> Any:
    return calls.SCHEDULES if is_schedule(name) else calls.TEMPLATES


def _camel_case(field: str) -> str:
    first, *others = field.split("_")
    return first + "".join(other.title() for other in others)


CLIENTS: dict[str, Any] = {"google": GoogleResources, "sync": OwnResources, "async": OwnAsyncResources}

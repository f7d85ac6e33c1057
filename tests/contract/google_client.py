"""Google's own client as the contract's scenarios use it: ``NotebookServiceClient`` in its REST transport."""

from __future__ import annotations

import builtins
import json
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from google.api_core.exceptions import GoogleAPICallError
from google.cloud import aiplatform_v1
from google.cloud.aiplatform_v1.services.notebook_service.transports import NotebookServiceRestTransport
from google.longrunning import operations_pb2
from google.protobuf.json_format import MessageToDict

from tests.contract.contract_client import ServiceError
from tests.support import discovery

if TYPE_CHECKING:
    from collections.abc import Iterator

    import requests
    from google.auth.credentials import Credentials


class GoogleClient:
    """An adapter to ``NotebookServiceClient``.

    :param endpoint: scheme and host, such as ``http://127.0.0.1:9099``.
    """

    def __init__(self, endpoint: str, credentials: Credentials) -> None:
        parts = urlsplit(endpoint)
        transport = NotebookServiceRestTransport(host=parts.netloc, url_scheme=parts.scheme, credentials=credentials)
        transport._session.hooks["response"].append(check)
        self.client = aiplatform_v1.NotebookServiceClient(transport=transport)

    def close(self) -> None:
        self.client.transport.close()

    def create(self, parent: str, job: dict[str, Any], job_id: str = "") -> dict[str, Any]:
        request = aiplatform_v1.CreateNotebookExecutionJobRequest(
            parent=parent,
            notebook_execution_job=aiplatform_v1.NotebookExecutionJob.from_json(json.dumps(job)),
            notebook_execution_job_id=job_id,
        )
        with translated():
            return MessageToDict(self.client.create_notebook_execution_job(request).operation)

    def get(self, name: str, view: str = "") -> dict[str, Any]:
        request = aiplatform_v1.GetNotebookExecutionJobRequest(name=name, view=view or 0)
        with translated():
            return to_wire(self.client.get_notebook_execution_job(request))

    def list(
        self, parent: str, *, where: str = "", order_by: str = "", page_size: int = 0, page_token: str = ""
    ) -> dict[str, Any]:
        request = aiplatform_v1.ListNotebookExecutionJobsRequest(
            parent=parent, filter=where, order_by=order_by, page_size=page_size, page_token=page_token
        )
        with translated():
            return to_wire(next(iter(self.client.list_notebook_execution_jobs(request).pages)))

    def delete(self, name: str) -> dict[str, Any]:
        with translated():
            return MessageToDict(self.client.delete_notebook_execution_job(name=name).operation)

    def get_operation(self, name: str) -> dict[str, Any]:
        with translated():
            return MessageToDict(self.client.get_operation(operations_pb2.GetOperationRequest(name=name)))

    def list_operations(self, name: str) -> builtins.list[dict[str, Any]]:
        with translated():
            answer = self.client.list_operations(operations_pb2.ListOperationsRequest(name=name))
        return MessageToDict(answer).get("operations", [])

    def cancel_operation(self, name: str) -> None:
        with translated():
            self.client.cancel_operation(operations_pb2.CancelOperationRequest(name=name))


def to_wire(message: Any) -> dict[str, Any]:
    return MessageToDict(type(message).pb(message))


def check(response: requests.Response, **_: object) -> None:
    request = response.request
    body = request.body.encode() if isinstance(request.body, str) else request.body
    discovery.check(request.method, request.url, body, response.status_code, response.content)


@contextmanager
def translated() -> Iterator[None]:
    try:
        yield
    except GoogleAPICallError as error:
        found = error.response.json()["error"]
        raise ServiceError(found["status"], found["message"]) from error

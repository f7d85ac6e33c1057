"""Our own client as the contract's scenarios use it, sync and async."""

from __future__ import annotations

import asyncio
import builtins
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from airflow_nbjobs.api import calls
from airflow_nbjobs.api.client import AsyncClient, Client
from airflow_nbjobs.api.endpoint import Endpoint
from airflow_nbjobs.api.job import NotebookExecutionJob
from airflow_nbjobs.exceptions import ApiError, InvalidNotebookJobError
from tests.contract.contract_client import ServiceError
from tests.support import discovery

if TYPE_CHECKING:
    from collections.abc import Iterator

    import httpx
    from google.auth.credentials import Credentials

    from airflow_nbjobs.api.calls import Call


def _endpoint(url: str) -> Endpoint:
    return Endpoint(url, is_trusted=url.startswith("https://"))


class OwnClient:
    """An adapter to :class:`airflow_nbjobs.api.client.Client`."""

    def __init__(self, endpoint: str, credentials: Credentials) -> None:
        self.client = Client(_endpoint(endpoint), credentials)
        self.client._http.event_hooks = {"response": [self._checked]}

    def _checked(self, response: httpx.Response) -> None:
        response.read()
        _check(response)

    def send(self, call: Call[Any]) -> Any:
        return self.client.send(call)

    def close(self) -> None:
        self.client.close()

    def create(self, parent: str, job: dict[str, Any], job_id: str = "") -> dict[str, Any]:
        with translated():
            call = calls.create_job(parent, NotebookExecutionJob.from_wire(job), job_id or None)
            return self.send(call).to_wire()

    def get(self, name: str, view: str = "") -> dict[str, Any]:
        with translated():
            return self.send(calls.get_job(name, view or None)).to_wire()

    def list(
        self, parent: str, *, where: str = "", order_by: str = "", page_size: int = 0, page_token: str = ""
    ) -> dict[str, Any]:
        with translated():
            call = calls.list_jobs(parent, filter=where, order_by=order_by)
            if page_size:  # the client refuses impossible sizes itself: here the service is asked
                call = replace(call, query={**call.query, "pageSize": str(page_size)})
            page = self.send(call.with_page_token(page_token) if page_token else call)
        answer = {"notebookExecutionJobs": [job.to_wire() for job in page.items], "nextPageToken": page.next_page_token}
        return {key: value for key, value in answer.items() if value}

    def delete(self, name: str) -> dict[str, Any]:
        with translated():
            return self.send(calls.delete_job(name)).to_wire()

    def get_operation(self, name: str) -> dict[str, Any]:
        with translated():
            return self.send(calls.get_operation(name)).to_wire()

    def list_operations(self, name: str) -> builtins.list[dict[str, Any]]:
        with translated():
            return [operation.to_wire() for operation in self.send(calls.list_operations(name)).items]

    def cancel_operation(self, name: str) -> None:
        with translated():
            self.send(calls.cancel_operation(name))


class OwnAsyncClient(OwnClient):
    """An adapter to :class:`airflow_nbjobs.api.client.AsyncClient`, on an event loop of its own."""

    client: Any

    def __init__(self, endpoint: str, credentials: Credentials) -> None:
        self.loop = asyncio.Runner()
        self.client = AsyncClient(_endpoint(endpoint), credentials)
        self.client._http.event_hooks = {"response": [self._checked_later]}

    async def _checked_later(self, response: httpx.Response) -> None:
        await response.aread()
        _check(response)

    def send(self, call: Call[Any]) -> Any:
        return self.loop.run(self.client.send(call))

    def close(self) -> None:
        self.loop.run(self.client.close())
        self.loop.close()


def _check(response: httpx.Response) -> None:
    request = response.request
    discovery.check(request.method, str(request.url), request.content, response.status_code, response.content)


@contextmanager
def translated() -> Iterator[None]:
    try:
        yield
    except ApiError as error:
        raise ServiceError(error.status, error.message) from error
    except InvalidNotebookJobError as error:  # what is known to be wrong is not even sent
        raise ServiceError("INVALID_ARGUMENT", str(error)) from error

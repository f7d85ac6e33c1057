"""The hook for an event loop: what a triggerer's code uses."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from types import SimpleNamespace
from typing import Any, TypeVar

from airflow.providers.common.compat.sdk import AirflowNotFoundException
from airflow.providers.google.common.hooks.base_google import GoogleBaseAsyncHook

from airflow_nbjobs import settings
from airflow_nbjobs.api import calls
from airflow_nbjobs.api.checks import check
from airflow_nbjobs.api.client import AsyncClient, Flow
from airflow_nbjobs.api.job import NotebookExecutionJob, Operation
from airflow_nbjobs.api.names import JobName, operation_parent
from airflow_nbjobs.api.pacing import PATIENT, Patience
from airflow_nbjobs.compat import get_async_connection, get_async_extra_dejson
from airflow_nbjobs.hooks.sync_hook import NotebookExecutionJobHook

__all__ = ["NotebookExecutionJobAsyncHook"]

T = TypeVar("T")


class _ConnectedHook(NotebookExecutionJobHook):
    """The hook over a connection that was already looked up, so that building it asks Airflow for nothing."""

    def __init__(self, extras: dict[str, Any], **kwargs: Any) -> None:
        self._found = SimpleNamespace(extra_dejson=extras)
        super().__init__(**kwargs)

    def get_connection(self, conn_id: str) -> Any:  # type: ignore[override]  # noqa: ARG002 - asked through `self`
        return self._found


class NotebookExecutionJobAsyncHook(GoogleBaseAsyncHook):
    """:class:`NotebookExecutionJobHook` for an event loop, which it never blocks.

    The connection is looked up asynchronously, and credentials are made and refreshed in threads that ask Airflow for
    nothing. Close it when done.

    :param gcp_conn_id: the Google Cloud connection.
    :param impersonation_chain: as of the sync hook; so is ``endpoint``.
    """

    sync_hook_class = NotebookExecutionJobHook

    def __init__(
        self,
        gcp_conn_id: str = "google_cloud_default",
        impersonation_chain: str | Sequence[str] | None = None,
        *,
        endpoint: str | None = None,
    ) -> None:
        super().__init__(gcp_conn_id=gcp_conn_id, impersonation_chain=impersonation_chain, endpoint=endpoint)
        self._connected: NotebookExecutionJobHook | None = None
        self._clients: dict[str, AsyncClient] = {}
        self._connecting = asyncio.Lock()

    async def get_sync_hook(self) -> NotebookExecutionJobHook:
        """Return the sync hook, its connection looked up once."""
        async with self._connecting:
            if self._connected is None:
                self._connected = _ConnectedHook(await self._extras(), **self._hook_kwargs)
        return self._connected

    async def _extras(self) -> dict[str, Any]:
        try:
            connection = await get_async_connection(self._hook_kwargs["gcp_conn_id"])
        except AirflowNotFoundException:
            if settings.emulator_address() is None:
                raise
            return {}
        return await get_async_extra_dejson(connection)

    async def client(self, location: str) -> AsyncClient:
        """Return the client for a location, made once."""
        hook = await self.get_sync_hook()
        async with self._connecting:
            if location not in self._clients:
                # In a thread: credentials may be asked of a server, and a TLS context reads a large file.
                self._clients[location] = await asyncio.to_thread(hook.new_async_client, location)
        return self._clients[location]

    async def close(self) -> None:
        """Close the connections."""
        while self._clients:
            await self._clients.popitem()[1].close()

    async def get_job(
        self, name: str, view: str | None = None, *, patience: Patience = PATIENT
    ) -> NotebookExecutionJob:
        """Get a job by its whole name.

        :param patience: how long it is tried.
        :raises ApiError: when the service refuses; ``NotFoundError`` without such a job.
        """
        client = await self.client(JobName.parse(name).location)
        return await client.send(calls.get_job(name, view), patience)

    async def list_jobs(
        self,
        *,
        location: str,
        project_id: str | None = None,
        filter: str | None = None,  # noqa: A002 - the API's own word
        order_by: str | None = None,
        page_size: int | None = None,
        view: str | None = None,
    ) -> AsyncIterator[NotebookExecutionJob]:
        """Return the jobs of a location; arguments and errors as of the sync hook."""
        where = await self._parent(location, project_id)
        call = calls.list_jobs(where, filter=filter, order_by=order_by, page_size=page_size, view=view)
        async for job in (await self.client(location)).pages(call):
            yield job

    async def create_job(
        self, job: NotebookExecutionJob, *, location: str, project_id: str | None = None, job_id: str | None = None
    ) -> Operation:
        """Create a job; arguments and errors as of the sync hook."""
        where = await self._parent(location, project_id)
        return await (await self.client(location)).send(calls.create_job(where, check(job), job_id))

    async def delete_job(self, name: str) -> Operation:
        """Begin to delete a job.

        :raises ApiError: when the service refuses; ``NotFoundError`` without such a job.
        """
        return await (await self.client(JobName.parse(name).location)).send(calls.delete_job(name))

    async def get_operation(self, name: str) -> Operation:
        """Get a long-running operation by its whole name.

        :raises ApiError: when the service refuses.
        """
        return await (await self.client(operation_parent(name)[1])).send(calls.get_operation(name))

    async def list_operations(self, job_name: str) -> AsyncIterator[Operation]:
        """Return the operations of a job, their pages asked for as they are needed.

        :raises ApiError: when the service refuses.
        """
        async for operation in (await self.client(JobName.parse(job_name).location)).pages(
            calls.list_operations(job_name)
        ):
            yield operation

    async def cancel_operation(self, name: str) -> None:
        """Ask the service to cancel an operation, best effort.

        :raises ApiError: when the service refuses.
        """
        await (await self.client(operation_parent(name)[1])).send(calls.cancel_operation(name))

    async def _parent(self, location: str, project_id: str | None) -> str:
        return await asyncio.to_thread((await self.get_sync_hook()).parent, location, project_id)

    async def run_flow(self, location: str, flow: Flow[T], patience: Patience = PATIENT) -> T:
        """Hold a flow of several calls with a location, and return what it returns."""
        return await (await self.client(location)).run_flow(flow, patience)

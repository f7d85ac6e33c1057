"""The hook for an event loop: what a triggerer's code uses."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any, TypeVar

from airflow.providers.common.compat.sdk import AirflowNotFoundException
from airflow.providers.google.common.hooks.base_google import GoogleBaseAsyncHook

from airflow_nbjobs import settings
from airflow_nbjobs.api.calls import Call
from airflow_nbjobs.api.client import AsyncClient, Flow
from airflow_nbjobs.api.pacing import PATIENT, Patience
from airflow_nbjobs.compat import get_async_connection, get_async_extra_dejson
from airflow_nbjobs.hooks.sync_hook import NotebookExecutionJobHook

__all__ = ["NotebookExecutionJobAsyncHook"]

T = TypeVar("T")


class _ConnectedHook(NotebookExecutionJobHook):
    """The hook over a connection that was already looked up, which asks Airflow for nothing when it is built."""

    def __init__(self, extras: dict[str, Any], **kwargs: Any) -> None:
        self._found = SimpleNamespace(extra_dejson=extras)
        super().__init__(**kwargs)

    def get_connection(self, conn_id: str) -> Any:  # type: ignore[override]  # noqa: ARG002 - asked through `self`
        return self._found


class NotebookExecutionJobAsyncHook(GoogleBaseAsyncHook):
    """The connection of :class:`NotebookExecutionJobHook` for an event loop, which it never blocks.

    The connection is looked up asynchronously, and credentials are made and refreshed in threads that ask Airflow for
    nothing. Use :meth:`send` and :meth:`run_flow`, and close it when done.

    :param gcp_conn_id: the Google Cloud connection.
    :param impersonation_chain: service account to impersonate, or a chain of them.
    :param endpoint: address of the service, as for the sync hook.
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
        """Return the sync hook over this connection, which is looked up once.

        :raises AirflowNotFoundException: if there is no such connection, and no emulator.
        """
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
        """Return the client for a location. It is made once.

        :param location: such as ``us-central1``.
        :raises AirflowNotFoundException: if there is no such connection, and no emulator.
        :raises CredentialsError: if the credentials cannot be made.
        :raises InvalidNotebookJobError: if the location is not well formed.
        """
        hook = await self.get_sync_hook()
        async with self._connecting:
            if location not in self._clients:
                # In a thread: credentials may be asked of a server, and a TLS context reads a large file.
                self._clients[location] = await asyncio.to_thread(hook.new_async_client, location)
        return self._clients[location]

    async def close(self) -> None:
        """Close the clients."""
        while self._clients:
            await self._clients.popitem()[1].close()

    async def send(self, location: str, call: Call[T], patience: Patience = PATIENT) -> T:
        """Send one call of :mod:`airflow_nbjobs.api.calls` to a location.

        :param patience: how often and how long it is tried.
        :returns: the parsed answer, such as a ``NotebookExecutionJob``.
        :raises ApiError: if the service refuses, or does not answer.
        :raises CredentialsError: if there is no token.
        """
        return await (await self.client(location)).send(call, patience)

    async def run_flow(self, location: str, flow: Flow[T], patience: Patience = PATIENT) -> T:
        """Run a flow of several calls at a location.

        :param flow: a generator of calls and sleeps.
        :param patience: how often and how long each call is tried.
        :returns: what the flow returns.
        :raises ApiError: if a call fails and the flow does not handle it.
        :raises CredentialsError: if there is no token.
        """
        return await (await self.client(location)).run_flow(flow, patience)

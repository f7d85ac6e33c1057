"""One face for both clients, so that each scenario is written once. Nobody here sleeps: pauses are kept in a list."""

from __future__ import annotations

import asyncio
import itertools
from typing import TYPE_CHECKING, Any, Protocol

from airflow_nbjobs.api.client import AsyncClient, Client
from airflow_nbjobs.api.pacing import PATIENT

if TYPE_CHECKING:
    from airflow_nbjobs.api.calls import Call, Page
    from airflow_nbjobs.api.client import Flow
    from airflow_nbjobs.api.endpoint import Endpoint
    from airflow_nbjobs.api.pacing import Patience


class Talk(Protocol):
    slept: list[float]

    def send(self, call: Call[Any], patience: Patience = PATIENT) -> Any: ...
    def first(self, call: Call[Page[Any]], count: int | None = None, patience: Patience = PATIENT) -> list[Any]: ...
    def run_flow(self, flow: Flow[Any], patience: Patience = PATIENT) -> Any: ...
    def close(self) -> None: ...


class SyncTalk:
    def __init__(self, endpoint: Endpoint, credentials: Any) -> None:
        self.slept: list[float] = []
        self.client = Client(endpoint, credentials, sleep=self.slept.append)

    def send(self, call: Call[Any], patience: Patience = PATIENT) -> Any:
        return self.client.send(call, patience)

    def first(self, call: Call[Page[Any]], count: int | None = None, patience: Patience = PATIENT) -> list[Any]:
        """Take so many of a list's items, or all."""
        return list(itertools.islice(self.client.pages(call, patience), count))

    def run_flow(self, flow: Flow[Any], patience: Patience = PATIENT) -> Any:
        return self.client.run_flow(flow, patience)

    def close(self) -> None:
        self.client.close()


class AsyncTalk:
    def __init__(self, endpoint: Endpoint, credentials: Any) -> None:
        self.slept: list[float] = []
        self.runner = asyncio.Runner()
        self.client = AsyncClient(endpoint, credentials, sleep=self._sleep)

    async def _sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        await asyncio.sleep(0)

    def send(self, call: Call[Any], patience: Patience = PATIENT) -> Any:
        return self.runner.run(self.client.send(call, patience))

    def first(self, call: Call[Page[Any]], count: int | None = None, patience: Patience = PATIENT) -> list[Any]:
        async def take() -> list[Any]:
            taken: list[Any] = []
            async for item in self.client.pages(call, patience):
                taken.append(item)
                if len(taken) == count:
                    break
            return taken

        return self.runner.run(take())

    def run_flow(self, flow: Flow[Any], patience: Patience = PATIENT) -> Any:
        return self.runner.run(self.client.run_flow(flow, patience))

    def close(self) -> None:
        self.runner.run(self.client.close())
        self.runner.close()

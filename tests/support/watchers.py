"""A triggerer for asset watchers: Airflow's own runner of triggers, and in place of its supervisor a few lines."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from airflow.jobs.triggerer_job_runner import TriggerRunner
from airflow.sdk import Asset
from airflow.sdk.exceptions import ErrorType
from airflow.sdk.execution_time import comms
from airflow.sdk.execution_time.context import AssetStateStoreAccessors

from airflow_nbjobs.events import NotebookJobEventTrigger
from tests.support.crowd import LOCATION
from tests.support.waiting import until


class Supervisor:
    """Answers what triggers ask Airflow for.

    :ivar stored: values of the state store, by asset and key; ``failures`` is how many of the next questions fail.
    """

    def __init__(self) -> None:
        self.stored: dict[str, Any] = {}

    async def asend(self, message: Any) -> Any:
        return self.send(message)

    def send(self, message: Any) -> Any:
        if isinstance(message, comms.GetAssetStateStoreByName | comms.SetAssetStateStoreByName):
            if self.stored.get("failures"):
                self.stored["failures"] -= 1
                raise RuntimeError("the API server is away")
            key = f"{message.name} {message.key}"
            if isinstance(message, comms.SetAssetStateStoreByName):
                self.stored[key] = message.value
                return comms.OKResponse(ok=True)
            if key in self.stored:
                return comms.AssetStateStoreResult(value=self.stored[key])
            return comms.ErrorResponse(error=ErrorType.ASSET_STORE_NOT_FOUND, detail={"key": message.key})
        assert isinstance(message, comms.GetConnection), message
        return comms.ErrorResponse(error=ErrorType.CONNECTION_NOT_FOUND)


class Triggerer:
    """Runs watchers.

    :ivar events: payloads of the events that are stored, in their order.
    :ivar is_storing: whether events are stored; those that are not yet are lost when the triggerer is killed.
    """

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []
        self.is_storing = True
        self._runner = TriggerRunner()
        self._tasks: list[asyncio.Task[None]] = []

    def start(self, *, assets: tuple[str, ...] = ("reports",), **arguments: Any) -> NotebookJobEventTrigger:
        """Start a watcher as it is stored, which looks often."""
        known = {"location": LOCATION, "poll_interval": 0.2, "event_interval": 0.05, **arguments}
        trigger = NotebookJobEventTrigger(**NotebookJobEventTrigger(**known).serialize()[1])
        trigger.trigger_id = number = len(self._tasks) + 1
        trigger.asset_state_store = AssetStateStoreAccessors(inlets=[Asset(name) for name in assets])
        task = asyncio.create_task(self._runner.run_trigger(number, trigger))
        self._runner.triggers[number] = {"task": task, "is_watcher": True, "name": str(number), "events": 0}
        self._tasks.append(task)
        return trigger

    async def work(self) -> None:
        """Store events and confirm them, as the supervisor does each second."""
        while True:
            while self.is_storing and self._runner.events:
                event = self._runner.events.popleft()
                assert event.persist_seq is not None
                self.events.append(event.event.payload)
                self._runner._shared_streams.confirm_persisted([event.persist_seq])
            await asyncio.sleep(0.01)

    @property
    def waiting(self) -> int:
        """The number of events that are not stored yet."""
        return len(self._runner.events)

    async def names(self, count: int) -> list[str]:
        """Return the display names of the first events, when there are so many."""
        await until(lambda: len(self.events) >= count)
        return [event["display_name"] for event in self.events]

    async def kill(self) -> None:
        """End all triggers at once."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


@asynccontextmanager
async def triggerer() -> AsyncIterator[Triggerer]:
    """Run a triggerer, and kill it at the end."""
    running = Triggerer()
    working = asyncio.create_task(running.work())
    try:
        yield running
    finally:
        working.cancel()
        await running.kill()
        await until(lambda: len(asyncio.all_tasks()) == 1)


def looks(service: Any) -> Callable[[int], Any]:
    """Return what waits until the service was asked for so many more lists."""

    async def wait(count: int) -> None:
        begun = _lists(service)
        await until(lambda: _lists(service) >= begun + count)

    return wait


def _lists(service: Any) -> int:
    return int(service.emulator.requests().get("list", {}).get("200", 0))

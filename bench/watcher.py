"""Event triggers beside the triggers that wait, as a triggerer runs them; what they remember is kept in a dict."""

from __future__ import annotations

from typing import Any

from airflow.triggers.shared_stream import SharedStreamManager

from airflow_nbjobs.events import NotebookJobEventTrigger

__all__ = ["watch"]


class _Store:
    """In place of Airflow's state store of assets, which sends no request to the service."""

    def __init__(self) -> None:
        self._stored: dict[str, Any] = {}

    async def aget(self, key: str) -> Any:
        return self._stored.get(key)

    async def aset(self, key: str, value: Any) -> None:
        self._stored[key] = value


async def watch(number: int, interval: float, manager: SharedStreamManager) -> None:
    """Run an event trigger that is interested in all jobs, and confirm its events at once."""
    trigger = NotebookJobEventTrigger("us-central1", project_id="bench", poll_interval=interval)
    trigger.trigger_id = number
    trigger.asset_state_store = _Store()  # type: ignore[assignment]  # what is used of it
    key = trigger.shared_stream_key()
    stream = manager.subscribe(trigger_id=number, trigger=trigger, key=key)
    try:
        async for _ in trigger.filter_shared_stream(stream):
            seq = manager.bind_pending_event(trigger_id=number, key=key)
            manager.confirm_persisted([] if seq is None else [seq])
    finally:
        await manager.unsubscribe(number, key)

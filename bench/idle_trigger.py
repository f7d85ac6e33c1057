"""A trigger that does nothing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from airflow.triggers.base import BaseTrigger, TriggerEvent


class Trigger(BaseTrigger):
    """Waits for nothing, for ever.

    :param poll_interval: of no use; all triggers that are measured have one.
    """

    def __init__(self, poll_interval: float) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # Airflow leaves it untyped
        self.poll_interval = poll_interval

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return what Airflow stores of the trigger."""
        return "bench.idle_trigger.Trigger", {"poll_interval": self.poll_interval}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Wait."""
        await asyncio.Event().wait()
        yield TriggerEvent({})  # type: ignore[no-untyped-call]  # as above

"""Learning when Airflow has stored an event: the confirmed shared streams of Airflow 3.3 (its "ack mode").

Airflow tells the producer of a stream which events it has stored, and not the trigger. Therefore each trigger has its
own stream, which brings the trigger's events to Airflow and the confirmations back.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from airflow.triggers.shared_stream import AdvanceItem, SharedStreamProducer

__all__ = ["Courier", "Delivery"]


@dataclass(frozen=True, eq=False)
class Delivery:
    """One event on its way.

    :ivar payload: of the event.
    :ivar is_stored: done when Airflow has dealt with the event; the result says whether it is stored.
    """

    payload: dict[str, Any]
    is_stored: asyncio.Future[bool] = field(default_factory=lambda: asyncio.get_running_loop().create_future())


class Courier(SharedStreamProducer):
    """The stream of one trigger. Its first item is the courier itself: the trigger calls :meth:`serve` then."""

    def __init__(self) -> None:
        self._source: asyncio.Future[AsyncIterator[Delivery]] = asyncio.get_running_loop().create_future()

    def serve(self, source: AsyncIterator[Delivery]) -> None:
        """Take deliveries from here."""
        self._source.set_result(source)

    async def open_stream(self) -> AsyncIterator[tuple[Any, Any]]:
        """Yield what the trigger receives."""
        yield self, None
        async for delivery in await self._source:
            yield delivery, delivery

    async def advance(self, batch: Sequence[AdvanceItem]) -> None:
        """Confirm deliveries. One that failed in any way is not confirmed: it may be stored nevertheless."""
        for item in batch:
            if isinstance(item.broker_payload, Delivery) and not item.broker_payload.is_stored.done():
                item.broker_payload.is_stored.set_result(item.outcome.is_clean)

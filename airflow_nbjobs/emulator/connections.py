"""Answers that a fault spoils by closing the connection."""

from __future__ import annotations

import asyncio

from starlette.responses import Response
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol


class TransportProtocol(H11Protocol):
    """uvicorn's protocol, with the connection's transport in ``scope["state"]["transport"]`` of each request."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as uvicorn has it
        """Keep the transport."""
        self.app_state = {**self.app_state, "transport": transport}
        super().connection_made(transport)


class DroppedResponse(Response):
    """No answer: the connection closes."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - nothing is sent
        """Close the connection."""
        await _close(scope, receive)


class TruncatedResponse(Response):
    """An answer that declares all of its bytes, and sends half of them before the connection closes.

    :param whole: the complete answer.
    """

    def __init__(self, whole: Response) -> None:
        super().__init__(whole.body, whole.status_code)
        self.raw_headers = whole.raw_headers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the first half, and close the connection."""
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        half = bytes(self.body)[: len(self.body) // 2]
        await send({"type": "http.response.body", "body": half, "more_body": True})
        await _close(scope, receive)


async def _close(scope: Scope, receive: Receive) -> None:
    scope["state"]["transport"].close()
    # Return when the server has seen the connection closed: it would answer 500 otherwise.
    while (await receive())["type"] != "http.disconnect":
        pass

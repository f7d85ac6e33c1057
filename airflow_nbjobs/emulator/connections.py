"""The open TCP connections, so that one can be cut without an answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from starlette.responses import Response
from uvicorn.protocols.http.h11_impl import H11Protocol

if TYPE_CHECKING:
    import asyncio

    from starlette.types import Receive, Scope, Send

Address = tuple[str, int]


class Connections:
    """The connections of one server, by the client's address."""

    def __init__(self) -> None:
        self._open: dict[Address, asyncio.Transport] = {}

    def protocol(self) -> type[H11Protocol]:
        """Make the protocol class for uvicorn's ``http`` setting that keeps this list."""
        opened = self._open

        class Listed(H11Protocol):
            def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as uvicorn has it
                opened[_address(transport)] = transport
                super().connection_made(transport)

            def connection_lost(self, exc: Exception | None) -> None:
                opened.pop(_address(self.transport), None)
                super().connection_lost(exc)

        return Listed

    def close(self, client: Address) -> None:
        """Close the connection of a client."""
        if client in self._open:
            self._open[client].close()

    async def cut(self, client: Address, receive: Receive) -> None:
        """Close the connection, and return when the server has seen it closed: it would answer 500 otherwise."""
        self.close(client)
        while (await receive())["type"] != "http.disconnect":
            pass


class Dropped(Response):
    """The answer that is none: the connection closes instead."""

    def __init__(self, connections: Connections) -> None:
        super().__init__()
        self._connections = connections

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - nothing is sent
        """Close the connection."""
        await self._connections.cut(scope["client"], receive)


class BrokenOff(Response):
    """An answer that the connection closes in the middle of: it announces all of its bytes, and half of them come."""

    def __init__(self, connections: Connections, whole: Response) -> None:
        super().__init__(whole.body, whole.status_code)
        self.raw_headers = whole.raw_headers
        self._connections = connections

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the first half, and close the connection."""
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        half = bytes(self.body)[: len(self.body) // 2]
        await send({"type": "http.response.body", "body": half, "more_body": True})
        await self._connections.cut(scope["client"], receive)


def _address(transport: asyncio.Transport) -> Address:
    return cast("Address", tuple(transport.get_extra_info("peername")[:2]))

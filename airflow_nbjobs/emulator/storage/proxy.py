"""The storage port: an ASGI application that passes to fake-gcs-server what :mod:`.methods` accepts.

Not emulated, and answered 404: batch requests, the XML API except downloads, notifications, and fake-gcs-server's own
``/_internal``, which can delete everything.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from urllib.parse import quote, urlencode

import httpx2
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response, StreamingResponse

from airflow_nbjobs.emulator.errors import ServiceError
from airflow_nbjobs.emulator.guard import Message, Receive, Send
from airflow_nbjobs.emulator.storage.methods import NOT_FORWARDED, rewrite

TIMEOUT = httpx2.Timeout(60.0, read=300.0)
"""The storage of a large object may take long."""

_REASONS = {400: "invalid", 404: "notFound", 405: "methodNotAllowed", 413: "uploadTooLarge", 503: "backendError"}


class Proxy:
    """ASGI application that passes requests to fake-gcs-server.

    :param server_url: its address, such as ``http://127.0.0.1:41234``.
    :param transport: sends the requests; the caller closes it.
    """

    def __init__(self, server_url: str, transport: httpx2.AsyncBaseTransport) -> None:
        self._server_url = server_url
        self._transport = transport

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Handle one request."""
        try:
            response = await self._answer(Request(scope, receive))
        except ServiceError as error:
            response = _error_answer(error)
        except ClientDisconnect:
            response = Response(status_code=400)
        await response(scope, receive, send)

    async def _answer(self, request: Request) -> Response:
        forward = await rewrite(request)
        query = urlencode(forward.query, quote_via=quote)
        url = f"{self._server_url}{forward.path}{'?' * bool(query)}{query}"
        timeout = {"timeout": TIMEOUT.as_dict()}
        outgoing = httpx2.Request(
            request.method, url, headers=forward.headers, content=forward.content, extensions=timeout
        )
        try:
            answer = await self._transport.handle_async_request(outgoing)
        except httpx2.TransportError as error:
            raise ServiceError(503, f"The emulator's Cloud Storage does not answer: {error}") from error
        response = StreamingResponse(_body(answer), answer.status_code)
        response.raw_headers = [
            (name.lower(), value) for name, value in answer.headers.raw if name.lower() not in NOT_FORWARDED
        ]
        return response


async def _body(answer: httpx2.Response) -> AsyncIterator[bytes]:
    try:
        async for piece in answer.aiter_raw():
            yield piece
    finally:
        await answer.aclose()


def _error_answer(error: ServiceError) -> Response:
    """Return an error in Cloud Storage's shape."""
    item = {"message": error.message, "domain": "global", "reason": _REASONS.get(error.code, "invalid")}
    return JSONResponse({"error": {"code": error.code, "message": error.message, "errors": [item]}}, error.code)

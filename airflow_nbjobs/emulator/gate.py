"""The storage port: an ASGI application that passes to fake-gcs-server what :mod:`.forwarding` lets through.

Not emulated, and answered 404: batch requests, the XML API but for downloads, notifications, and fake-gcs-server's own
``/_internal``, which empties it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote, urlencode

import httpx2
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response, StreamingResponse

from .forwarding import NOT_PASSED_ON, RefusedError, say_anew
from .names import BadNameError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from .guard import Message, Receive, Send


# A large object may take its time to be stored.
_EXTENSIONS = {"timeout": httpx2.Timeout(60.0, read=300.0).as_dict()}


class Gate:
    """ASGI application that passes requests to fake-gcs-server.

    :param backend: where that is, such as ``http://127.0.0.1:41234``.
    :param transport: sends the requests; the caller closes it.
    """

    def __init__(self, backend: str, transport: httpx2.AsyncBaseTransport) -> None:
        self._backend = backend
        self._transport = transport

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Handle one request."""
        response = await self._answer(Request(scope, receive))
        await response(scope, receive, send)

    async def _answer(self, request: Request) -> Response:
        try:
            forward = await say_anew(request)
        except (RefusedError, BadNameError) as error:
            return google_error(getattr(error, "status", 400), str(error))
        except ClientDisconnect:
            return Response(status_code=400)
        query = urlencode(forward.query, quote_via=quote)
        url = f"{self._backend}{forward.path}{'?' * bool(query)}{query}"
        content, headers = forward.content, forward.headers
        outgoing = httpx2.Request(request.method, url, headers=headers, content=content, extensions=_EXTENSIONS)
        try:
            answer = await self._transport.handle_async_request(outgoing)
        except ClientDisconnect:
            return Response(status_code=400)
        except httpx2.TransportError as error:
            return google_error(503, f"The emulator's Cloud Storage does not answer: {error}")
        response = StreamingResponse(_body(answer), answer.status_code)
        response.raw_headers = [
            (name.lower(), value) for name, value in answer.headers.raw if name.lower() not in NOT_PASSED_ON
        ]
        return response


async def _body(answer: httpx2.Response) -> AsyncIterator[bytes]:
    try:
        async for piece in answer.aiter_raw():
            yield piece
    finally:
        await answer.aclose()


def google_error(status: int, message: str) -> JSONResponse:
    """Answer an error in Cloud Storage's shape."""
    reasons = {400: "invalid", 404: "notFound", 405: "methodNotAllowed", 413: "uploadTooLarge", 503: "backendError"}
    error = {"message": message, "domain": "global", "reason": reasons.get(status, "invalid")}
    return JSONResponse({"error": {"code": status, "message": message, "errors": [error]}}, status)

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


class Gate:
    """ASGI application that passes requests to fake-gcs-server.

    :param backend: where that is, such as ``http://127.0.0.1:41234``.
    :param client: sends the requests; the caller closes it.
    """

    def __init__(self, backend: str, client: httpx2.AsyncClient) -> None:
        self._backend = backend
        self._client = client

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
        outgoing = httpx2.Request(request.method, url, headers=forward.headers, content=forward.content)
        try:
            answer = await self._client.send(outgoing, stream=True)
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

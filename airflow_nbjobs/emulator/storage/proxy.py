"""The storage port: an ASGI application that passes to fake-gcs-server what :mod:`.methods` accepts.

Not emulated, and answered 404: batch requests, the XML API except downloads, notifications, and fake-gcs-server's own
``/_internal``, which can delete everything.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from urllib.parse import quote, urlencode

import httpx
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response, StreamingResponse

from airflow_nbjobs.emulator.errors import ServiceError
from airflow_nbjobs.emulator.guard import Message, Receive, Send
from airflow_nbjobs.emulator.storage.methods import NOT_FORWARDED, Forward, rewrite

TIMEOUT = httpx.Timeout(60.0, read=300.0)
"""The storage of a large object may take long."""

_REASONS = {
    400: "invalid", 404: "notFound", 405: "methodNotAllowed", 409: "conflict", 412: "conditionNotMet",
    413: "uploadTooLarge", 416: "requestedRangeNotSatisfiable", 503: "backendError",
}  # fmt: skip
_NOT_EMPTY = ServiceError(409, "The bucket you tried to delete is not empty.")
_OWNED = ServiceError(409, "Your previous request to create the named bucket succeeded and you already own it.")
_CONDITION = ServiceError(412, "At least one of the pre-conditions you specified did not hold.")
_RANGE = ServiceError(416, "Request range not satisfiable")
_SOURCE = ServiceError(404, "One of the source objects does not exist.")
_NO_BUCKET = ServiceError(404, "The specified bucket does not exist.")


class Proxy:
    """ASGI application that passes requests to fake-gcs-server.

    :param server_url: its address, such as ``http://127.0.0.1:41234``.
    :param transport: sends the requests; the caller closes it.
    """

    def __init__(self, server_url: str, transport: httpx.AsyncBaseTransport) -> None:
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
        outgoing = httpx.Request(
            request.method, url, headers=forward.headers, content=forward.content, extensions=timeout
        )
        try:
            answer = await self._transport.handle_async_request(outgoing)
        except httpx.TransportError as error:
            raise ServiceError(503, f"The emulator's Cloud Storage does not answer: {error}") from error
        if answer.is_error and (googles := await self._google_error(request.method, forward, answer.status_code)):
            await answer.aclose()
            is_media = forward.query.get("alt") == "media" or forward.path.startswith("/download/")
            return (
                Response(googles.message, googles.code, media_type="text/html") if is_media else _error_answer(googles)
            )
        response = StreamingResponse(_body(answer), answer.status_code)
        response.raw_headers = [
            (name.lower(), value) for name, value in answer.headers.raw if name.lower() not in NOT_FORWARDED
        ]
        return response

    async def _google_error(self, method: str, forward: Forward, status: int) -> ServiceError | None:
        """Return the real service's error in place of fake-gcs-server's, or None where no client needs it."""
        names = forward.names
        if status == 404 and "bucket" in names and "upload_id" not in forward.query:
            for bucket in (names["bucket"], names.get("to_bucket", names["bucket"])):
                if not await self._exists(f"/storage/v1/b/{bucket}"):
                    return _NO_BUCKET
            return ServiceError(404, f"No such object: {names['bucket']}/{names.get('object', '')}")
        if status == 412:
            return _CONDITION if "object" in names or forward.path.startswith("/upload/") else _NOT_EMPTY
        if status == 500 and names.get("part") == "compose":  # a client would retry a 500 for minutes
            return _SOURCE
        created = method == "POST" and not names
        return {409: _OWNED if created else None, 416: _RANGE}.get(status)

    async def _exists(self, path: str) -> bool:
        request = httpx.Request("GET", f"{self._server_url}{path}", extensions={"timeout": TIMEOUT.as_dict()})
        answer = await self._transport.handle_async_request(request)
        await answer.aclose()
        return answer.status_code != 404


async def _body(answer: httpx.Response) -> AsyncIterator[bytes]:
    try:
        async for piece in answer.aiter_raw():
            yield piece
    finally:
        await answer.aclose()


def _error_answer(error: ServiceError) -> Response:
    """Return an error in Cloud Storage's shape."""
    item = {"message": error.message, "domain": "global", "reason": _REASONS.get(error.code, "invalid")}
    return JSONResponse({"error": {"code": error.code, "message": error.message, "errors": [item]}}, error.code)

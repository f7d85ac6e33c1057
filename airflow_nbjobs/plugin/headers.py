"""The headers of all answers: what a page may load, and that nothing is kept."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import quote

from starlette.datastructures import MutableHeaders

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

__all__ = ["FRAME", "Headers", "attachment"]

FRAME = "sandbox; default-src 'none'; img-src data:; style-src 'unsafe-inline'; frame-ancestors 'self'"
"""The policy of a document that contains a notebook: no script, no form, no request, and an opaque origin."""

_SHELL = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; frame-src 'self'; img-src data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
)
_ALWAYS = {
    "Cache-Control": "no-store",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


class Headers:
    """Middleware that adds the headers to every answer, errors included.

    :param app: the app inside.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""

        async def add(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.update(_ALWAYS)
                headers.setdefault("Content-Security-Policy", _SHELL)
            await send(message)

        await self._app(scope, receive, add)


def attachment(file: str) -> dict[str, str]:
    """Return the headers of a download.

    :param file: the name of the file, which is anybody's text.
    """
    plain = re.sub(r"[^A-Za-z0-9._-]", "_", file) or "notebook"
    name = f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(file, safe='', errors='replace')}"
    return {"Content-Disposition": name, "Content-Security-Policy": FRAME}

"""The doorkeeper of both ports: no web page may talk to a service that runs code.

The emulator executes notebooks without asking who sent them. It listens on the loopback address, but a browser on the
same machine reaches that address too, so every page a person opens could send it requests. Three marks give such a
request away:

* ``Origin``: browsers put it on every cross-origin request that could change something. No client of Cloud Storage or
  Vertex AI sends it.
* ``Sec-Fetch-Site``: browsers put it on the rest (an ``<img>``, a form with ``GET``) when the address is a
  trustworthy one, as loopback is. ``none``, which means that a person typed the address, is the one value that is let
  in.
* ``Host``: a page that points its own name at 127.0.0.1 (DNS rebinding) is same-origin and sends neither, but its
  name is in ``Host``.

Answers carry no CORS header, so that no page could read one even if all of this failed.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, MutableMapping

    Message = MutableMapping[str, Any]
    Receive = Callable[[], Awaitable[Message]]
    Send = Callable[[Message], Awaitable[None]]
    App = Callable[[Message, Receive, Send], Awaitable[None]]

LOOPBACK_HOSTS = ("127.0.0.1", "localhost", "[::1]")

_HOST = re.compile(r"(?P<name>\[[0-9a-f:.]+\]|[0-9a-z._-]+)(?::\d{1,5})?", re.ASCII)


class Guard:
    """Wrap an ASGI application so that only programs on this machine, and the hosts named, get to it.

    A refused request is answered 403 in Google's error shape, before the application or the request's body is touched.

    :param app: the application to protect.
    :param allowed_hosts: names, beside those of the loopback address, that a ``Host`` header may carry, without a port;
        any port is accepted. An IPv6 address is written in brackets.
    """

    def __init__(self, app: App, *, allowed_hosts: Iterable[str] = ()) -> None:
        self._app = app
        self._hosts = frozenset(name.lower() for name in (*LOOPBACK_HOSTS, *allowed_hosts))

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Handle one ASGI connection."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
        elif scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
        elif reason := self._objection(scope):
            await _refuse(reason, send)
        else:
            await self._app(scope, receive, _without_cors(send))

    def _objection(self, scope: Message) -> str | None:
        """Tell why a request is refused, or None."""
        values: dict[bytes, list[bytes]] = {}
        for name, value in scope["headers"]:
            values.setdefault(name.lower(), []).append(value)
        if b"origin" in values:
            return "a request that carries an Origin header comes from a web page"
        if any(value.strip().lower() != b"none" for value in values.get(b"sec-fetch-site", ())):
            return "its Sec-Fetch-Site header says that a web page sent it"
        hosts = values.get(b"host", [])
        if len(hosts) != 1:
            return f"it must have one Host header, and has {len(hosts)}"
        host = hosts[0].decode("latin-1")
        match = _HOST.fullmatch(host.lower())
        if match is None or match["name"] not in self._hosts:
            return f"its Host is {host!r}; start the emulator with --allow-host to accept another name"
        # An absolute target ("GET http://other/...") names a second host: no client of ours sends one, and no proxy
        # belongs here.
        if not scope.get("raw_path", b"/").startswith(b"/"):
            return "its target must be a path"
        return None


async def _refuse(reason: str, send: Send) -> None:
    message = f"The emulator refused this request: {reason}."
    body = json.dumps({"error": {"code": 403, "message": message, "status": "PERMISSION_DENIED"}}).encode()
    headers = [
        (b"content-type", b"application/json; charset=UTF-8"),
        (b"content-length", str(len(body)).encode()),
        (b"connection", b"close"),
    ]
    await send({"type": "http.response.start", "status": 403, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _without_cors(send: Send) -> Send:
    async def send_on(message: Message) -> None:
        if message["type"] == "http.response.start":
            kept = [
                (name, value)
                for name, value in message.get("headers", ())
                if not name.lower().startswith(b"access-control-")
            ]
            # What a bucket holds is anybody's: no browser may guess that it is a page, or let another page embed it.
            kept += [(b"x-content-type-options", b"nosniff"), (b"cross-origin-resource-policy", b"same-origin")]
            message = {**message, "headers": kept}
        await send(message)

    return send_on

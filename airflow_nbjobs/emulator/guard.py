"""Refuse the requests of web pages on both ports: the emulator runs code.

The emulator executes notebooks without authentication. A browser on the same machine reaches the loopback address too:
every page that a person opens could send requests. Three headers show such a request:

* ``Origin``: browsers add it to every cross-origin request that could change something. Clients of Cloud Storage and
  Vertex AI do not send it.
* ``Sec-Fetch-Site``: browsers add it to the others (an ``<img>``, a form with ``GET``) when the address is trustworthy,
  as loopback is. Only the value ``none`` is accepted, which means that a person typed the address. The pages for people
  may also be opened by a link, as Airflow's UI has it: they change nothing, run no script, and no other page can read
  or embed them.
* ``Host``: a page whose own name points at 127.0.0.1 (DNS rebinding) is same-origin and sends neither, but its name is
  in ``Host``.

Answers have no CORS header: a page could not read one even if all of this failed.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping
from typing import Any

from airflow_nbjobs.emulator.errors import ServiceError
from airflow_nbjobs.emulator.http import json_answer

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Message, Receive, Send], Awaitable[None]]

LOOPBACK_HOSTS = ("127.0.0.1", "localhost", "[::1]")

_PAGES = re.compile(r"/|/_emulator/jobs/[^/]+/notebook")
_HOST = re.compile(r"(?P<name>\[[0-9a-f:.]+\]|[0-9a-z._-]+)(?::\d{1,5})?", re.ASCII)


class Guard:
    """Wrap an ASGI application so that only programs on this machine and the allowed hosts reach it.

    A refused request is answered 403 in Google's error shape, before its body is read.

    :param app: the application to protect.
    :param allowed_hosts: names, beside those of the loopback address, that a ``Host`` header may have, without a port;
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
            error = ServiceError(403, f"The emulator refused this request: {reason}.")
            await json_answer(error.body(), error.code, {"Connection": "close"})(scope, receive, send)
        else:
            await self._app(scope, receive, _without_cors(send))

    def _objection(self, scope: Message) -> str | None:
        """Return why a request is refused, or None."""
        values: dict[bytes, list[bytes]] = {}
        for name, value in scope["headers"]:
            values.setdefault(name.lower(), []).append(value)
        if b"origin" in values:
            return "a request that has an Origin header comes from a web page"
        sites = {value.strip().lower() for value in values.get(b"sec-fetch-site", ())} - {b"none"}
        if sites and not _follows_link(scope, values):
            return "its Sec-Fetch-Site header says that a web page sent it"
        hosts = values.get(b"host", [])
        if len(hosts) != 1:
            return f"it must have one Host header, and has {len(hosts)}"
        host = hosts[0].decode("latin-1")
        match = _HOST.fullmatch(host.lower())
        if match is None or match["name"] not in self._hosts:
            return f"its Host is {host!r}; start the emulator with --allow-host to accept another name"
        # An absolute target ("GET http://other/...") names a second host. Only clients of a proxy send one.
        if not scope.get("raw_path", b"/").startswith(b"/"):
            return "its target must be a path"
        return None


def _follows_link(scope: Message, values: Mapping[bytes, list[bytes]]) -> bool:
    """Return whether the request loads one of the pages for people into a window."""
    window = {b"sec-fetch-mode": [b"navigate"], b"sec-fetch-dest": [b"document"]}
    is_page = scope["method"] == "GET" and _PAGES.fullmatch(scope["path"]) is not None
    return is_page and all(values.get(name) == value for name, value in window.items())


def _without_cors(send: Send) -> Send:
    async def send_on(message: Message) -> None:
        if message["type"] == "http.response.start":
            given = message.get("headers", ())
            kept = [header for header in given if not header[0].lower().startswith(b"access-control-")]
            # Objects have any content: a browser must neither take one for a page nor let another page embed it.
            kept += [(b"x-content-type-options", b"nosniff"), (b"cross-origin-resource-policy", b"same-origin")]
            message = {**message, "headers": kept}
        await send(message)

    return send_on

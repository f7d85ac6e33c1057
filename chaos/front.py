"""Reaching the emulator as the real service is reached: by name, over TLS, with tokens; and failures of all three.

In the client's process, :class:`Names` resolves host names. Another process (``python -m chaos.front``) accepts TLS
connections, relays them to the emulator byte by byte, so that connections are cut as the emulator cuts them, and issues
tokens as Google's token service does.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import ssl
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from pathlib import Path
from typing import Any, Self

import trustme

ONE_IN = 20
"""One of so many token requests, and one of so many look-ups of a name, fails."""

_HOST = "127.0.0.2"
_UNUSED_HOST = "127.0.0.3"
_SECONDS_OF_LIFE = 240
"""Lifetime of a token: google-auth gets a new one when less than 225 s are left."""

_NO_NAME, _NO_LISTENER = "name not found", "connection refused"

_REFUSALS: dict[str, tuple[int, str]] = {
    "token: 503": (503, '{"error": "temporarily_unavailable"}'),
    "token: a proxy's page": (200, "<html>Sign in</html>"),
    "token: connection cut": (0, ""),
    "token: 429": (429, '{"error": "rate_limit_exceeded"}'),
    "token: missing in the answer": (200, "{}"),
    "token: 502 and a page": (502, "<html>Bad gateway</html>"),
}

KINDS = (_NO_NAME, _NO_LISTENER, *_REFUSALS)
"""The kinds of failures, by the names under which they are counted."""


class Names:
    """Replaces the system's look-up of host names: names of Google lead to this machine.

    No server can simulate this part. One look-up in twenty fails: in turn, the name is not found, or it leads to an
    address at which no process listens.

    :ivar met: how often each failure has happened.
    """

    def __init__(self) -> None:
        self.met: Counter[str] = Counter()
        self._look_up: Callable[..., Any] = socket.getaddrinfo
        self._number = count(1)

    def __enter__(self) -> Self:
        """Replace the look-up of this process."""
        socket.getaddrinfo = self
        return self

    def __exit__(self, *_: object) -> None:
        """Restore the system's look-up."""
        socket.getaddrinfo = self._look_up

    def __call__(self, host: Any, *arguments: Any, **known: Any) -> Any:
        """Resolve a name.

        :raises socket.gaierror: for one look-up in forty.
        """
        name = host.decode() if isinstance(host, bytes) else host
        if not isinstance(name, str) or not name.endswith(".googleapis.com"):
            return self._look_up(host, *arguments, **known)
        failed, rest = divmod(next(self._number), ONE_IN)
        if rest:
            return self._look_up(_HOST, *arguments, **known)
        if failed % 2:
            self.met[_NO_NAME] += 1
            raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
        self.met[_NO_LISTENER] += 1
        return self._look_up(_UNUSED_HOST, *arguments, **known)


class Front:
    """The process in front of the emulator; it runs until it is stopped.

    :param folder: where its certificate is written.
    :param emulator: the emulator's address.
    :param project: project of the connection.
    :ivar env: environment variables for clients.
    """

    def __init__(self, folder: Path, emulator: str, project: str) -> None:
        authority, server = str(folder / "ca.pem"), str(folder / "server.pem")
        made = trustme.CA(key_type=trustme.KeyType.RSA)
        made.cert_pem.write_to_path(authority)
        made.issue_cert("*.googleapis.com").private_key_and_cert_chain_pem.write_to_path(server)
        command = [sys.executable, "-m", "chaos.front", emulator, server]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)  # noqa: S603 - our own interpreter
        output: Any = self._process.stdout
        ports = json.loads(output.readline())
        key = {
            "type": "service_account",
            "project_id": project,
            "private_key_id": "1",
            "private_key": made.private_key_pem.bytes().decode(),
            "client_email": f"runner@{project}.iam.gserviceaccount.com",
            "client_id": "1",
            "token_uri": f"https://oauth2.googleapis.com:{ports['tokens']}/token",
        }
        extra = {"keyfile_dict": json.dumps(key), "project": project}
        self.env = {
            "AIRFLOW__NBJOBS__ENDPOINT": f"https://{{location}}-aiplatform.googleapis.com:{ports['service']}",
            "AIRFLOW_CONN_GOOGLE_CLOUD_DEFAULT": json.dumps({"conn_type": "google_cloud_platform", "extra": extra}),
            "SSL_CERT_FILE": authority,
            "REQUESTS_CA_BUNDLE": authority,
            "NO_PROXY": "*",
        }

    def stop(self) -> Counter[str]:
        """Stop the process, and return how often a token request failed, by kind."""
        output, _ = self._process.communicate("\n", timeout=30)
        return Counter(json.loads(output))


class _Tokens(ThreadingHTTPServer):
    """Issues tokens; one request in twenty fails."""

    daemon_threads = True

    def __init__(self, context: ssl.SSLContext) -> None:
        super().__init__((_HOST, 0), _TokenRequest)
        self.socket = context.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)
        self.numbers = count(1)
        self.met: Counter[str] = Counter()

    def handle_error(self, *_: object) -> None:
        """Do not log clients that disconnect."""


class _TokenRequest(BaseHTTPRequestHandler):
    server: _Tokens

    def do_POST(self) -> None:
        """Answer a token request."""
        self.rfile.read(int(self.headers["content-length"]))
        number = next(self.server.numbers)
        failed, rest = divmod(number, ONE_IN)
        status, body = 200, json.dumps({"access_token": f"token-{number}", "expires_in": _SECONDS_OF_LIFE})
        if not rest:
            name = list(_REFUSALS)[failed % len(_REFUSALS)]
            status, body = _REFUSALS[name]
            self.server.met[name] += 1
        if status:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body.encode())
        self.close_connection = True

    def log_message(self, *_: object) -> None:
        """Log nothing."""


async def _pass_on(come: asyncio.StreamReader, goes: asyncio.StreamWriter) -> None:
    try:
        while block := await come.read(2**16):
            goes.write(block)
            await goes.drain()
    except (OSError, ssl.SSLError):
        pass
    finally:
        goes.close()


async def _serve(emulator: str, certificate: str) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    host, port = emulator.removeprefix("http://").split(":")

    async def relay(come: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        there, goes = await asyncio.open_connection(host, int(port))
        with contextlib.suppress(asyncio.CancelledError):  # asyncio.run ends the rest
            await asyncio.gather(_pass_on(come, goes), _pass_on(there, back))

    tokens = _Tokens(context)
    threading.Thread(target=tokens.serve_forever, daemon=True).start()
    service = await asyncio.start_server(relay, _HOST, 0, ssl=context)
    ports = {"service": service.sockets[0].getsockname()[1], "tokens": tokens.server_address[1]}
    print(json.dumps(ports), flush=True)
    await asyncio.to_thread(sys.stdin.readline)  # also returns when the parent process is gone
    print(json.dumps(tokens.met), flush=True)


if __name__ == "__main__":
    asyncio.run(_serve(*sys.argv[1:]))

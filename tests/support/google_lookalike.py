"""A service with TLS and one that gives tokens, on the loopback interface: what real credentials meet."""

from __future__ import annotations

import json
import ssl
import threading
from collections.abc import Callable, Container
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import trustme

HOST = "127.0.0.2"
"""An address of this machine that is not among those that the client calls local, whose certificates it checks."""

EMAIL = "robot@p.iam.gserviceaccount.com"
NAME = "projects/p/locations/us-central1/notebookExecutionJobs/1"

Answer = tuple[int, dict[str, str], dict[str, Any]]

JOB: Answer = (200, {}, {"name": NAME, "jobState": "JOB_STATE_RUNNING"})


class Server:
    """Keeps what it was sent, and answers as it is told.

    :param answer: told the number of the request, from 1; returns status, headers and JSON.
    :param certificate: folder of the certificate to use; plain HTTP without one.
    """

    def __init__(self, answer: Callable[[int], Answer], certificate: Path | None = None) -> None:
        self.seen: list[dict[str, str]] = []
        server = self
        self._answer = answer

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                sent = self.rfile.read(int(self.headers.get("content-length", 0)))
                server.seen.append({key.lower(): value for key, value in self.headers.items()})
                status, headers, body = server.reply(len(server.seen), self, sent)
                content = json.dumps(body).encode()
                self.send_response(status)
                for key, value in {**headers, "Content-Length": str(len(content))}.items():
                    self.send_header(key, value)
                self.end_headers()
                self.wfile.write(content)

            do_POST = do_PATCH = do_DELETE = do_CONNECT = do_GET  # noqa: N815 - http.server's own names

            def log_message(self, format: str, *arguments: Any) -> None:  # noqa: A002 - the base class's name
                """Keep silent."""

        self._http = ThreadingHTTPServer((HOST if certificate else "127.0.0.1", 0), Handler)
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate / "server.pem")
            self._http.socket = context.wrap_socket(self._http.socket, server_side=True)
        host, port = self._http.server_address[:2]
        self.url = f"{'https' if certificate else 'http'}://{host!s}:{port}"
        self._thread = threading.Thread(target=self._http.serve_forever, daemon=True)
        self._thread.start()

    def reply(self, number: int, request: BaseHTTPRequestHandler, body: bytes) -> Answer:
        """Return what a request is answered with."""
        return self._answer(number)

    @property
    def tokens(self) -> list[str | None]:
        """The token of each request, or None for one that had none."""
        return [request.get("authorization") for request in self.seen]

    def close(self) -> None:
        """Stop."""
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()


class Relay(Server):
    """Passes requests on to the emulator, but for some that it answers with 401.

    :param refused: which requests, by number, are refused for their tokens.
    """

    def __init__(self, emulator: str, certificate: Path | None, *, refused: Container[int]) -> None:
        self._emulator = httpx.Client(base_url=emulator, trust_env=False)
        denied: Answer = (401, {}, {"error": {"code": 401, "message": "Stale.", "status": "UNAUTHENTICATED"}})
        self._refused = refused
        super().__init__(lambda _: denied, certificate)

    def reply(self, number: int, request: BaseHTTPRequestHandler, body: bytes) -> Answer:
        """Pass it on."""
        if number in self._refused:
            return super().reply(number, request, body)
        kind = {"Content-Type": "application/json"} if body else {}
        answer = self._emulator.request(request.command, request.path, content=body, headers=kind)
        return answer.status_code, {}, answer.json()

    def close(self) -> None:
        """Stop."""
        super().close()
        self._emulator.close()


def new_key() -> str:
    """Return a private key, as PEM."""
    return trustme.CA(key_type=trustme.KeyType.RSA).private_key_pem.bytes().decode()


def write_certificate(folder: Path) -> None:
    """Write a certificate for :data:`HOST` with its key, ``server.pem``, and what vouches for it, ``ca.pem``."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(folder / "ca.pem"))
    authority.issue_cert(HOST).private_key_and_cert_chain_pem.write_to_path(str(folder / "server.pem"))

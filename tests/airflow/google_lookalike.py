"""A service with TLS and one that gives tokens, on the loopback interface: what real credentials meet."""

from __future__ import annotations

import ipaddress
import json
import ssl
import threading
from collections.abc import Callable, Container
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx2
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

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

            do_POST = do_DELETE = do_CONNECT = do_GET  # noqa: N815 - http.server's own names

            def log_message(self, format: str, *arguments: Any) -> None:  # noqa: A002 - the base class's name
                """Keep silent."""

        self._http = ThreadingHTTPServer((HOST if certificate else "127.0.0.1", 0), Handler)
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate / "cert.pem", certificate / "key.pem")
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
        self._emulator = httpx2.Client(base_url=emulator, trust_env=False)
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


def new_key() -> tuple[rsa.RSAPrivateKey, str]:
    """Return a private key, and its PEM."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return key, pem.decode()


def write_certificate(folder: Path) -> None:
    """Write a certificate for :data:`HOST` that vouches for itself: ``cert.pem`` and ``key.pem``."""
    key, pem = new_key()
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(HOST))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    (folder / "cert.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    (folder / "key.pem").write_text(pem)

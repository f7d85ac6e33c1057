"""Addresses to listen on, their names for clients, and the server on both ports."""

from __future__ import annotations

import ipaddress
import os
import socket
import ssl
from typing import Any
from urllib.parse import urlsplit

import uvicorn

from airflow_nbjobs.emulator.errors import EmulatorError


def listen(host: str, port: int, option: str) -> tuple[socket.socket, str]:
    """Open a port, and return its socket and the URL that clients on this machine use.

    :param port: 0 for a free one.
    :param option: the command-line option that names another port, for the error.
    :raises EmulatorError: when the host is unknown or the port is not available.
    """
    try:
        socket.getaddrinfo(host, port)
    except socket.gaierror as error:
        raise EmulatorError(f"cannot listen on {host} ({error.strerror}): give another --host") from error
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listener = socket.create_server((host, port), family=family, backlog=1024)
    except OSError as error:
        why = os.strerror(error.errno) if error.errno else str(error)
        raise EmulatorError(f"cannot listen on {host} port {port} ({why}): give another {option}") from error
    # asyncio sets this on connections of its own sockets only; without it an answer in two pieces waits 40 ms.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    # Clients cannot connect to a wildcard address.
    name = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - it is compared, not bound
    return listener, f"http://{f'[{name}]' if ':' in name else name}:{listener.getsockname()[1]}"


def http_server(app: Any, **options: Any) -> uvicorn.Server:
    """Return a server for an ASGI application that logs nothing.

    :param options: further options of :class:`uvicorn.Config`.
    """
    quiet: dict[str, Any] = {"log_config": None, "access_log": False, "server_header": False, "proxy_headers": False}
    return uvicorn.Server(uvicorn.Config(app, lifespan="off", ws="none", **quiet, **options))


def tls_trust(address: str) -> ssl.SSLContext | bool:
    """Return the ``verify`` setting of an HTTP client: True for https, an empty store of certificates for http.

    By default each client reads the machine's certificates, which takes 20 to 70 ms.
    """
    return address.startswith("https://") or ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


def is_loopback(host: str) -> bool:
    """Say whether an address is reached from this machine alone."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def is_own(address: str, port: int) -> bool:
    """Say whether an address, as in ``STORAGE_EMULATOR_HOST``, is a port of this machine."""
    try:
        parts = urlsplit(address if "://" in address else f"http://{address}")
        return parts.port == port and is_loopback(parts.hostname or "")
    except ValueError:
        return False

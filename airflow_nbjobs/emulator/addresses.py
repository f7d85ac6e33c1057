"""Addresses to listen on, and what they are called."""

from __future__ import annotations

import ipaddress
import os
import socket
import ssl
from urllib.parse import urlsplit

from airflow_nbjobs.emulator.errors import EmulatorError


def listen(host: str, port: int) -> socket.socket:
    """Open the service's port.

    :raises EmulatorError: when it cannot be had.
    """
    try:
        socket.getaddrinfo(host, port)
    except socket.gaierror as error:
        raise EmulatorError(f"cannot listen on {host} ({error.strerror}): give another --host") from error
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listener = socket.create_server((host, port), family=family, backlog=1024)
    except OSError as error:
        raise no_port(host, port, "--port", error) from error
    # asyncio sets this on connections of its own sockets only; without it an answer in two pieces waits 40 ms.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


def no_port(host: str, port: int, option: str, error: OSError) -> EmulatorError:
    """Make the error for a port that cannot be had; the option is the one that names another."""
    why = os.strerror(error.errno) if error.errno else str(error)
    return EmulatorError(f"cannot listen on {host} port {port} ({why}): give another {option}")


def shown(host: str) -> str:
    """Say under which name clients on this machine reach an address to listen on, an IPv6 one in brackets."""
    name = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - it is compared, not bound
    return f"[{name}]" if ":" in name else name


def trust(address: str) -> ssl.SSLContext | bool:
    """Say whom a client of an address trusts: True for whom the machine does, nobody where plain HTTP is spoken.

    Each client reads the machine's certificates otherwise, which takes 20 to 70 ms.
    """
    return address.startswith("https://") or ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


def is_loopback(host: str) -> bool:
    """Say whether an address is reached from this machine alone."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def is_own(address: str, port: int) -> bool:
    """Say whether an address, as ``STORAGE_EMULATOR_HOST`` has it, is a port of this machine."""
    try:
        parts = urlsplit(address if "://" in address else f"http://{address}")
        return parts.port == port and is_loopback(parts.hostname or "")
    except ValueError:
        return False

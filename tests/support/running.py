"""Servers for the tests: an event loop in a thread, a storage that runs in it, and raw HTTP."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections.abc import Coroutine, Iterator
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

from airflow_nbjobs.emulator.storage import model
from airflow_nbjobs.emulator.storage.model import Storage


class Loop:
    """An event loop that runs in a thread for as long as the ``with`` block does."""

    def __enter__(self) -> Self:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.run(self._loop.shutdown_asyncgens())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(60)


@contextlib.contextmanager
def running_storage(root: Path) -> Iterator[tuple[Storage, Loop]]:
    running = model.running_storage(root, "127.0.0.1", 0, ["storage.example"])
    with Loop() as loop:
        storage = loop.run(running.__aenter__())
        try:
            yield storage, loop
        finally:
            loop.run(running.__aexit__(None, None, None))


def talk(url: str, *lines: str, body: bytes = b"") -> tuple[int, dict[str, str], bytes]:
    """Send a request as it is written, and return the status, the headers (names in lower case) and the body."""
    address = urlsplit(url)
    request = (
        "\r\n".join([*lines, f"Content-Length: {len(body)}", "Connection: close", "", ""]).encode("latin-1") + body
    )
    with socket.create_connection((address.hostname, address.port), timeout=10) as connection:
        connection.sendall(request)
        answer = b""
        with contextlib.suppress(ConnectionResetError):  # an answer without reading the body may end like this
            while piece := connection.recv(65_536):
                answer += piece
    head, _, content = answer.partition(b"\r\n\r\n")
    status, *headers = head.decode("latin-1").split("\r\n")
    pairs = (header.split(":", 1) for header in headers)
    return int(status.split()[1]), {name.strip().lower(): value.strip() for name, value in pairs}, content

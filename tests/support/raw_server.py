"""A server that answers with any bytes at all, for the answers that no emulator gives."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Callable


PARENT = "projects/p/locations/us-central1"
JOB = f"{PARENT}/notebookExecutionJobs/5"
OPERATION = f"{JOB}/operations/7"


def http_answer(status: int, body: Any = b"{}", *headers: str, length: int | None = None) -> bytes:
    """Build an answer; a body that is not bytes is sent as JSON."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    lines = [f"HTTP/1.1 {status} Said", f"Content-Length: {len(content) if length is None else length}", *headers]
    return "\r\n".join([*lines, "Connection: close", "", ""]).encode("latin-1") + content


def refusal(status: int, name: str, message: str = "said so", **more: Any) -> bytes:
    """Build an error in Google's shape."""
    return json.dumps({"error": {"code": status, "status": name, "message": message, **more}}).encode()


def refused(status: int, name: str, *headers: str, **more: Any) -> bytes:
    """Build the answer with such an error."""
    return http_answer(status, refusal(status, name, **more), *headers)


FOUND = http_answer(200, {"name": JOB, "jobState": "JOB_STATE_RUNNING"})
CREATED = http_answer(200, {"name": OPERATION})
DOWN = refused(503, "UNAVAILABLE")


class RawServer:
    """Answers the n-th request (from 0) with ``answer(request, n)``; ``None`` says nothing and keeps the line open."""

    def __init__(self, answer: Callable[[str, int], bytes | None]) -> None:
        self._answer = answer
        self._open: list[socket.socket] = []
        self._lock = threading.Lock()
        self.requests: list[str] = []
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self._accepting = threading.Thread(target=self._accept, daemon=True)
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def __enter__(self) -> Self:
        self._accepting.start()
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        # The next server's socket may get this one's number, and the thread would take its connections.
        self._accepting.join(10)
        self._listener.close()
        for connection in self._open:
            connection.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):  # the listener was closed
            while True:
                connection, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        head = b""
        while b"\r\n\r\n" not in head:
            if not (piece := connection.recv(65_536)):
                connection.close()
                return
            head += piece
        head, _, body = head.partition(b"\r\n\r\n")
        sizes = [int(line[15:]) for line in head.decode().splitlines() if line.lower().startswith("content-length:")]
        while len(body) < sum(sizes):
            body += connection.recv(65_536)
        with self._lock:
            number = len(self.requests)
            self.requests.append(head.decode() + "\n\n" + body.decode())
        answer = self._answer(self.requests[number], number)
        if answer is None:
            self._open.append(connection)
            return
        with contextlib.suppress(OSError), connection:
            connection.sendall(answer)

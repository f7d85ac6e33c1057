"""Cloud Storage for the emulator's jobs and their clients: fake-gcs-server behind a port of our own.

fake-gcs-server (https://github.com/fsouza/fake-gcs-server) is a real implementation, but one that trusts everybody:
it takes any ``Host`` and ``Origin``, answers ``Access-Control-Allow-Origin: *``, and writes an object named ``../x``
outside its folder (measured, 1.54.0). So it listens on a random loopback address and port that are told to nobody,
and clients get a second port, with a :class:`~.guard.Guard` and a :class:`~.gate.Gate` before it.

What stays open: a program of any user on this machine can find and use that port. Outside Linux, where 127.0.0.1 is
the one loopback address, so can a web page that tries all ports from a browser here. fake-gcs-server can neither listen
on a Unix socket nor ask for a password or a certain ``Host``. Do not run the emulator where that matters.

Clients that speak gRPC get no answer here. gcsfs does, to ask for a bucket's layout, and tries for minutes: set
``GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT=false`` for it (the jobs have it set).

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
from typing import TYPE_CHECKING
from urllib.parse import quote

import httpx2
import uvicorn

from . import fake_gcs
from .addresses import trust
from .gate import Gate
from .guard import Guard

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

MAX_NOTEBOOK_BYTES = 128 * 2**20
"""The largest object that :meth:`Storage.read` takes into memory."""

_LIMITS = httpx2.Limits(max_connections=None, max_keepalive_connections=32)
_URI = re.compile(r"gs://(?P<bucket>[^/]+)/(?P<name>.+)", re.DOTALL)


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
            named = os.environ.get("STORAGE_EMULATOR_HOST", "").rstrip("/")
            # No proxy of the environment: all this is on one machine. A large object may take its time to be stored.
            timeout = httpx2.Timeout(60.0, read=300.0)
            client = httpx2.AsyncClient(timeout=timeout, verify=trust(named), trust_env=False, limits=_LIMITS)
            self._client = await stack.enter_async_context(client)
            if named:
                self.url = named if "://" in named else f"http://{named}"
            else:
                try:
                    await self._serve(stack)
                except fake_gcs.NotStartedError as error:
                    raise StorageError(str(error)) from None
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
        backend = await stack.enter_async_context(fake_gcs.running(self._root, self.url))
        # Not a client: that logs each request, and with it the port that is told to nobody.
        transport = httpx2.AsyncHTTPTransport(verify=trust(backend), trust_env=False, limits=_LIMITS)
        app = Guard(Gate(backend, await stack.enter_async_context(transport)), allowed_hosts=self._allowed_hosts)
        self._client.headers["Host"] = "localhost"  # it is we who ask: a name that is let in wherever we listen
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
                await _check(answer, f"{uri} could not be read")
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
            raise StorageError(f"{uri} could not be written: there is no bucket {bucket!r}: make it first.")
        await _check(answer, f"{uri} could not be written")

    async def make_bucket(self, uri: str) -> None:
        """Make the bucket of an object if it is missing; :meth:`write` tells if that did not work."""
        name = _split(uri)[0]
        with contextlib.suppress(httpx2.TransportError):
            await self._client.post(f"{self.url}/storage/v1/b", params={"project": "local"}, json={"name": name})

    async def _what_is_missing(self, bucket: str, generation: str | None) -> str:
        answer = await self._client.get(f"{self.url}/storage/v1/b/{quote(bucket, safe='')}")
        if answer.status_code == 404:
            return f"there is no bucket {bucket!r}: make it first"
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


def _split(uri: str) -> tuple[str, str]:
    match = _URI.fullmatch(uri)
    if match is None:
        raise StorageError(f"{uri!r} is not the URI of an object: it must be gs://bucket/name.")
    return match["bucket"], match["name"]


async def _check(answer: httpx2.Response, what: str) -> None:
    if answer.is_error:
        await answer.aread()
        try:
            said = str(answer.json()["error"]["message"])
        except (ValueError, LookupError, TypeError):
            said = answer.reason_phrase
        raise StorageError(f"{what}: Cloud Storage answered {answer.status_code}: {said[:500]}")

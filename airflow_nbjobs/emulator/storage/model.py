"""Cloud Storage for the emulator's jobs and their clients: fake-gcs-server behind our own port.

fake-gcs-server (https://github.com/fsouza/fake-gcs-server) trusts every client: it accepts any ``Host`` and ``Origin``,
answers ``Access-Control-Allow-Origin: *``, and writes an object named ``../x`` outside its folder (measured, 1.54.0).
Therefore it listens on a random loopback address and port, and clients get a second port, with a
:class:`~airflow_nbjobs.emulator.guard.Guard` and a :class:`~.proxy.Proxy` before it.

What remains: any user's program on this machine can find and use the first port. Outside Linux, where 127.0.0.1 is the
only loopback address, a web page that tries all ports from a browser here can too. fake-gcs-server can neither listen
on a Unix socket nor require a password or a certain ``Host``. Do not run the emulator where that matters.

Clients that speak gRPC get no answer. gcsfs does so to ask for a bucket's layout, and retries for minutes: set
``GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT=false`` for it (the jobs have it set).

Objects are files under the storage's folder, with their metadata and generation, and survive a restart. This adds
limits: no object versions (an overwritten generation is lost), ``a`` and ``a/b`` cannot both be objects, and an
unfinished resumable upload ends with the process. fake-gcs-server holds an object in memory while it is uploaded.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from urllib.parse import quote

import httpx

from airflow_nbjobs.emulator.addresses import http_server, listen, tls_trust
from airflow_nbjobs.emulator.errors import EmulatorError
from airflow_nbjobs.emulator.guard import Guard
from airflow_nbjobs.emulator.storage import backend
from airflow_nbjobs.emulator.storage.proxy import TIMEOUT, Proxy

MAX_NOTEBOOK_BYTES = 128 * 2**20
"""The largest object that :meth:`Storage.read` reads into memory."""

_LIMITS = httpx.Limits(max_connections=None, max_keepalive_connections=32)
_URI = re.compile(r"gs://(?P<bucket>[^/]+)/(?P<name>.+)", re.DOTALL)


class StorageError(Exception):
    """An object could not be read or written. The text can be a job's status and names the ``gs://`` URI."""


@contextlib.asynccontextmanager
async def running_storage(
    root: Path, host: str, port: int, allowed_hosts: Sequence[str], *, buckets: Sequence[str] = ()
) -> AsyncIterator[Storage]:
    """Start fake-gcs-server and the port for clients, and end both after the block. Objects stay.

    If ``STORAGE_EMULATOR_HOST`` is set, use that storage and start none.

    :param root: folder of the objects; made if it does not exist.
    :param host: address of the port for clients.
    :param port: number of that port; 0 for a free one.
    :param allowed_hosts: further names that a ``Host`` header may have.
    :param buckets: names of buckets that exist from the start.
    :raises EmulatorError: if the port is not available, fake-gcs-server does not start, the storage that
        ``STORAGE_EMULATOR_HOST`` names does not answer, or a bucket cannot be created.
    """
    async with contextlib.AsyncExitStack() as stack:
        url = os.environ.get("STORAGE_EMULATOR_HOST", "").rstrip("/")
        if url:
            url = url if "://" in url else f"http://{url}"
        else:
            url = await _serve(stack, root, host, port, allowed_hosts)
        # The environment's proxy is not for programs on this machine.
        client = httpx.AsyncClient(timeout=TIMEOUT, verify=tls_trust(url), trust_env=False, limits=_LIMITS)
        await stack.enter_async_context(client)
        if "STORAGE_EMULATOR_HOST" not in os.environ:
            client.headers["Host"] = "localhost"  # the guard accepts this name on any address
        try:
            await client.get(f"{url}/storage/v1/b", params={"project": "local"})
        except httpx.TransportError as error:
            text = f"no Cloud Storage answers at {url} ({error}): start it, or unset STORAGE_EMULATOR_HOST"
            raise EmulatorError(text) from error
        storage = Storage(url, client)
        try:
            for bucket in buckets:
                await storage.create_bucket(bucket)
        except StorageError as error:
            raise EmulatorError(str(error)) from error
        yield storage


async def _serve(
    stack: contextlib.AsyncExitStack, root: Path, host: str, port: int, allowed_hosts: Sequence[str]
) -> str:
    listener, url = listen(host, port, "--storage-port")
    stack.enter_context(listener)
    server_url = await stack.enter_async_context(backend.running(root, url))
    # Not a client: a client logs each request, and with it the port that is not published.
    transport = httpx.AsyncHTTPTransport(verify=tls_trust(server_url), trust_env=False, limits=_LIMITS)
    proxy = Proxy(server_url, await stack.enter_async_context(transport))
    server = http_server(Guard(proxy, allowed_hosts=allowed_hosts), http="h11", date_header=False)
    task = asyncio.create_task(server.serve([listener]))

    async def stop() -> None:
        server.should_exit = server.force_exit = True
        await task

    stack.push_async_callback(stop)
    return url


class Storage:
    """The emulator's own access to its Cloud Storage.

    :param url: its address for clients, such as ``http://127.0.0.1:9023``.
    :param client: sends the requests.
    """

    def __init__(self, url: str, client: httpx.AsyncClient) -> None:
        self.url = url
        self._client = client

    async def read(self, uri: str, generation: str | None = None) -> bytes:
        """Return an object's content.

        :param uri: ``gs://bucket/name``.
        :param generation: None for the newest.
        :raises StorageError: if the object, bucket or generation does not exist, or it cannot be read.
        """
        bucket, name = _split(uri)
        query = {"alt": "media"} | ({"generation": generation} if generation else {})
        url = f"{self._bucket_url(bucket)}/o/{quote(name, safe='')}"
        try:
            async with self._client.stream("GET", url, params=query) as answer:
                if answer.status_code == 404:
                    raise StorageError(f"{uri} could not be read: {await self._what_is_missing(bucket, generation)}.")
                await _check(answer, f"{uri} could not be read")
                content = bytearray()
                async for piece in answer.aiter_bytes():
                    content += piece
                    if len(content) > MAX_NOTEBOOK_BYTES:
                        limit = f"{MAX_NOTEBOOK_BYTES // 2**20} MiB"
                        raise StorageError(f"{uri} could not be read: it is larger than {limit}.")
                return bytes(content)
        except httpx.TransportError as error:
            raise StorageError(f"{uri} could not be read: {error}") from error

    async def write(self, uri: str, content: bytes) -> None:
        """Write an object; an existing one is replaced.

        :param uri: ``gs://bucket/name``.
        :raises StorageError: if the bucket does not exist, or the object cannot be written.
        """
        bucket, name = _split(uri)
        try:
            answer = await self._client.post(
                f"{self.url}/upload/storage/v1/b/{quote(bucket, safe='')}/o",
                params={"uploadType": "media", "name": name},
                content=content,
                headers={"Content-Type": "application/x-ipynb+json"},
            )
        except httpx.TransportError as error:
            raise StorageError(f"{uri} could not be written: {error}") from error
        if answer.status_code == 404:
            raise StorageError(f"{uri} could not be written: {_no_bucket(bucket)}.")
        await _check(answer, f"{uri} could not be written")

    async def create_bucket(self, name: str) -> None:
        """Create a bucket if it does not exist.

        :raises StorageError: if the name is invalid, or the bucket cannot be created.
        """
        what = f"the bucket {name!r} could not be created"
        try:
            answer = await self._client.post(
                f"{self.url}/storage/v1/b", params={"project": "local"}, json={"name": name}
            )
        except httpx.TransportError as error:
            raise StorageError(f"{what}: {error}") from error
        if answer.status_code != 409:
            await _check(answer, what)

    async def _what_is_missing(self, bucket: str, generation: str | None) -> str:
        answer = await self._client.get(self._bucket_url(bucket))
        if answer.status_code == 404:
            return _no_bucket(bucket)
        return f"it has no generation {generation}" if generation else "there is no such object"

    def _bucket_url(self, bucket: str) -> str:
        return f"{self.url}/storage/v1/b/{quote(bucket, safe='')}"


def _no_bucket(bucket: str) -> str:
    how = f"`nbjobs emulator --bucket {bucket}`, `nbjobs_emulator.create_bucket({bucket!r})`, or any client"
    return f"the bucket {bucket!r} does not exist; create it, with {how}"


def bucket_of(uri: str) -> str:
    """Return the bucket of ``gs://bucket/name``.

    :raises StorageError: if it is not the URI of an object.
    """
    return _split(uri)[0]


def _split(uri: str) -> tuple[str, str]:
    match = _URI.fullmatch(uri)
    if match is None:
        raise StorageError(f"{uri!r} is not the URI of an object: it must be gs://bucket/name.")
    return match["bucket"], match["name"]


async def _check(answer: httpx.Response, what: str) -> None:
    if answer.is_error:
        await answer.aread()
        try:
            reason = str(answer.json()["error"]["message"])
        except (ValueError, LookupError, TypeError):
            reason = answer.reason_phrase
        raise StorageError(f"{what}: Cloud Storage answered {answer.status_code}: {reason[:500]}")

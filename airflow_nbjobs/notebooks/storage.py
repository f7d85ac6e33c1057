"""Notebooks in Cloud Storage: read in one generation, written once, and found where a job writes them.

The JSON API (https://cloud.google.com/storage/docs/json_api/v1) is called by the client of the job service, with its
retries and errors, and with credentials that are sent to Google only.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import itertools
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import quote

from airflow_nbjobs.api.calls import Call, Page
from airflow_nbjobs.api.client import Client
from airflow_nbjobs.api.endpoint import Endpoint
from airflow_nbjobs.api.wire import TIMESTAMP
from airflow_nbjobs.exceptions import InvalidArgumentError, InvalidNotebookJobError, NotFoundError

__all__ = [
    "StoredObject",
    "delete",
    "find_executed",
    "get_object",
    "read",
    "read_chunks",
    "storage_endpoint",
    "write",
    "write_page",
]

_CHUNK_BYTES = 8 * 2**20
_LISTED = 1_000
_NOTEBOOK, _PAGE = "application/x-ipynb+json", "text/html; charset=utf-8"
_URI = re.compile(r"gs://(?P<bucket>[^/]+)/(?P<name>.+)", re.DOTALL)


@dataclass(frozen=True)
class StoredObject:
    """One generation of an object.

    :ivar uri: ``gs://bucket/name``.
    :ivar generation: number that Cloud Storage gave to this content.
    :ivar size: in bytes.
    :ivar md5: in base64; empty for composed objects.
    :ivar encoding: the ``Content-Encoding``, or empty.
    :ivar created: when this generation was written; ``None`` if that is not known.
    """

    uri: str
    generation: str
    size: int
    md5: str = ""
    encoding: str = ""
    created: datetime | None = None

    @classmethod
    def parse(cls, answer: dict[str, Any]) -> StoredObject:
        """Read the object resource."""
        return cls(
            uri=f"gs://{answer['bucket']}/{answer['name']}",
            generation=str(answer["generation"]),
            size=int(answer.get("size", 0)),
            md5=answer.get("md5Hash") or "",
            encoding=answer.get("contentEncoding") or "",
            created=TIMESTAMP.decode(answer.get("timeCreated")),
        )


def storage_endpoint(emulator: str | None = None) -> Endpoint:
    """Return the endpoint of Cloud Storage.

    :param emulator: address of an emulator, as in ``STORAGE_EMULATOR_HOST``; it gets no credentials.
    """
    return Endpoint.of_emulator(emulator) if emulator else Endpoint("https://storage.googleapis.com", is_trusted=True)


def get_object(client: Client, uri: str, generation: str | None = None) -> StoredObject:
    """Return the description of an object.

    :param uri: ``gs://bucket/name``.
    :param generation: by default the newest.
    :raises InvalidNotebookJobError: when the URI does not name an object.
    :raises ApiError: when Cloud Storage refuses; :class:`NotFoundError` when there is no such object.
    """
    query = {"generation": generation} if generation else {}
    return client.send(Call("GET", _path(uri), StoredObject.parse, query))


def read_chunks(client: Client, found: StoredObject) -> Iterator[bytes]:
    """Return the content of an object in chunks of 8 MiB, each requested when it is needed and retried by itself.

    :param found: what :func:`get_object` returned; no other generation is read.
    :raises InvalidNotebookJobError: when the object is stored compressed.
    :raises ApiError: when Cloud Storage refuses.
    """
    if found.encoding:
        raise InvalidNotebookJobError(
            f"{found.uri} is stored with Content-Encoding {found.encoding!r}. Upload it without compression."
        )
    for start in range(0, found.size, _CHUNK_BYTES):
        end = min(start + _CHUNK_BYTES, found.size)
        yield client.send(_range(found, start, end))


def read(client: Client, uri: str, generation: str | None = None, *, limit: int) -> tuple[bytes, StoredObject]:
    """Return the content of an object, and its description.

    :param limit: for the size, in bytes.
    :raises InvalidNotebookJobError: when the object is larger.
    :raises ApiError: as :func:`get_object`.
    """
    found = get_object(client, uri, generation)
    if found.size > limit:
        raise InvalidNotebookJobError(
            f"{uri} has {found.size:,} bytes, over the limit of {limit:,} for a notebook with parameters. Raise "
            "[nbjobs] notebook_bytes, or run the notebook without parameters."
        )
    return b"".join(read_chunks(client, found)), found


def write(client: Client, uri: str, content: bytes) -> StoredObject:
    """Write a notebook as a new object. An object with the same content is not an error.

    :raises InvalidArgumentError: with HTTP status 412, when an object with other content exists.
    :raises ApiError: when Cloud Storage refuses.
    """
    try:
        return client.send(_upload(uri, content, _NOTEBOOK))
    except InvalidArgumentError as error:
        if error.http_status != 412:
            raise
        found = get_object(client, uri)  # ours, if an earlier try of this request was carried out
        if found.md5 != _md5(content):
            raise
        return found


def write_page(client: Client, uri: str, content: bytes) -> StoredObject:
    """Write an HTML page; it replaces an object with other content.

    :raises ApiError: when Cloud Storage refuses.
    """
    try:
        return client.send(_upload(uri, content, _PAGE))
    except InvalidArgumentError as error:
        if error.http_status != 412:
            raise
    found = get_object(client, uri)
    if found.md5 == _md5(content):
        return found
    return client.send(_upload(uri, content, _PAGE, found.generation))


def delete(client: Client, stored: StoredObject) -> None:
    """Delete one generation of an object. Do nothing if it no longer exists.

    :raises ApiError: when Cloud Storage refuses.
    """
    with contextlib.suppress(NotFoundError):
        client.send(Call("DELETE", _path(stored.uri), lambda _: None, {"generation": stored.generation}, is_raw=True))


def find_executed(
    client: Client, gcs_output_uri: str, job_id: str, predicted_uri: str | None = None
) -> StoredObject | None:
    """Return the executed notebook of a job; ``None`` if the job left no notebook, as after some failures.

    :param gcs_output_uri: of the job.
    :param job_id: last part of the job's name.
    :param predicted_uri: where the notebook is expected. Otherwise it is the only ``.ipynb`` in the job's folder.
    :raises ApiError: when Cloud Storage refuses.
    """
    if predicted_uri:
        with contextlib.suppress(NotFoundError):
            return get_object(client, predicted_uri)
    bucket, prefix = _split(f"{gcs_output_uri.rstrip('/')}/{job_id}/")
    query = {"prefix": prefix, "delimiter": "/"}
    call = Call("GET", f"/storage/v1/b/{quote(bucket, safe='')}/o", Page.reader("items", StoredObject.parse), query)
    try:
        listed = list(itertools.islice(client.pages(call), _LISTED))
    except NotFoundError:  # the bucket
        return None
    notebooks = [stored for stored in listed if stored.uri.endswith(".ipynb")]
    return notebooks[0] if len(notebooks) == 1 else None


def _md5(content: bytes) -> str:
    return base64.b64encode(hashlib.md5(content, usedforsecurity=False).digest()).decode()


def _upload(uri: str, content: bytes, mime: str, replaces: str = "0") -> Call[StoredObject]:
    """Upload in place of one generation; as multipart, since fake-gcs-server 1.54.0 ignores others' preconditions."""
    bucket, name = _split(uri)
    boundary = hashlib.sha256(content).hexdigest()
    head = (
        f"--{boundary}\r\nContent-Type: application/json; charset=UTF-8\r\n\r\n"
        f"{json.dumps({'name': name, 'contentType': mime})}\r\n--{boundary}\r\nContent-Type: {mime}\r\n\r\n"
    )
    body = head.encode() + content + f"\r\n--{boundary}--\r\n".encode()
    headers = {"Content-Type": f"multipart/related; boundary={boundary}"}
    query = {"uploadType": "multipart", "ifGenerationMatch": replaces}
    path = f"/upload/storage/v1/b/{quote(bucket, safe='')}/o"
    return Call("POST", path, StoredObject.parse, query, body, headers=headers)


def _range(found: StoredObject, start: int, end: int) -> Call[bytes]:
    def whole(content: bytes) -> bytes:
        if len(content) != end - start:  # becomes an UnexpectedAnswerError, which is retried
            raise ValueError(f"{len(content)} bytes instead of {end - start}")
        return content

    headers = {"Range": f"bytes={start}-{end - 1}", "Accept": "*/*", "Accept-Encoding": "identity"}
    query = {"alt": "media", "generation": found.generation}
    return Call("GET", _path(found.uri), whole, query, headers=headers, is_raw=True)


def _path(uri: str) -> str:
    bucket, name = _split(uri)
    return f"/storage/v1/b/{quote(bucket, safe='')}/o/{quote(name, safe='')}"


def _split(uri: str) -> tuple[str, str]:
    match = _URI.fullmatch(uri)
    # In a path "." and ".." lead elsewhere, also when they are percent-encoded.
    if match is None or {match["bucket"], match["name"]} & {".", ".."}:
        raise InvalidNotebookJobError(f"{uri!r} is not the URI of an object. It must be gs://bucket/name.")
    return match["bucket"], match["name"]

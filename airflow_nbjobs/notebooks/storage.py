"""Notebooks in Cloud Storage: read in a pinned generation, written once, found where a job leaves them.

Plain JSON API (https://cloud.google.com/storage/docs/json_api/v1), sent by the client that the jobs are sent by: its
retries, its errors, its credentials, which go to Google alone.
"""

from __future__ import annotations

import base64
import hashlib
import itertools
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from airflow_nbjobs.api.calls import Call, Page
from airflow_nbjobs.api.client import Client
from airflow_nbjobs.api.endpoint import Endpoint
from airflow_nbjobs.exceptions import InvalidArgumentError, InvalidNotebookJobError, NotFoundError

__all__ = ["StoredObject", "delete", "find_executed", "get_object", "read", "read_chunks", "storage_endpoint", "write"]

_PIECE_BYTES = 8 * 2**20
_LISTED = 1_000
_TYPE = "application/x-ipynb+json"
_URI = re.compile(r"gs://(?P<bucket>[^/]+)/(?P<name>.+)", re.DOTALL)


@dataclass(frozen=True)
class StoredObject:
    """One generation of an object.

    :ivar uri: ``gs://bucket/name``.
    :ivar generation: the number that Cloud Storage gave this content.
    :ivar size: bytes.
    :ivar md5: base64, or empty: composed objects have none.
    """

    uri: str
    generation: str
    size: int
    md5: str = ""
    encoding: str = ""

    @classmethod
    def parse(cls, answer: dict[str, Any]) -> StoredObject:
        """Read the object resource."""
        return cls(
            uri=f"gs://{answer['bucket']}/{answer['name']}",
            generation=str(answer["generation"]),
            size=int(answer.get("size", 0)),
            md5=answer.get("md5Hash") or "",
            encoding=answer.get("contentEncoding") or "",
        )


def storage_endpoint(emulator: str | None = None) -> Endpoint:
    """Return where Cloud Storage is.

    :param emulator: address of an emulator, as ``STORAGE_EMULATOR_HOST`` has it; it is sent no credentials.
    """
    return Endpoint.of_emulator(emulator) if emulator else Endpoint("https://storage.googleapis.com", is_trusted=True)


def get_object(client: Client, uri: str, generation: str | None = None) -> StoredObject:
    """Return what is there to be read.

    :param uri: ``gs://bucket/name``.
    :param generation: the one that is wanted; by default the newest.
    :raises NotFoundError: when it is not there.
    :raises ApiError: when Cloud Storage refuses.
    """
    query = {"generation": generation} if generation else {}
    return client.send(Call("GET", _path(uri), StoredObject.parse, query))


def read_chunks(client: Client, found: StoredObject) -> Iterator[bytes]:
    """Return the content of an object in pieces of 8 MiB, each asked for when it is wanted, and retried by itself.

    :param found: what :func:`get_object` returned; another generation is never read.
    :raises InvalidNotebookJobError: when it is stored compressed, and its size not what is read.
    :raises ApiError: when Cloud Storage refuses.
    """
    if found.encoding:
        raise InvalidNotebookJobError(
            f"{found.uri} is stored with Content-Encoding {found.encoding!r}: upload it without, as it is."
        )
    for start in range(0, found.size, _PIECE_BYTES):
        end = min(start + _PIECE_BYTES, found.size)
        yield client.send(_range(found, start, end))


def read(client: Client, uri: str, generation: str | None = None, *, limit: int) -> tuple[bytes, StoredObject]:
    """Return the content of an object, and which generation it is.

    :param limit: bytes.
    :raises InvalidNotebookJobError: when it is larger than that.
    :raises ApiError: as :func:`get_object`.
    """
    found = get_object(client, uri, generation)
    if found.size > limit:
        raise InvalidNotebookJobError(
            f"{uri} has {found.size:,} bytes, and {limit:,} is the limit for one that is given parameters: raise "
            "[nbjobs] notebook_bytes, or run it without."
        )
    return b"".join(read_chunks(client, found)), found


def write(client: Client, uri: str, content: bytes) -> StoredObject:
    """Write an object that is not there yet; that the same content is there already is as good.

    :raises InvalidArgumentError: when other content is there, with HTTP status 412.
    :raises ApiError: when Cloud Storage refuses.
    """
    try:
        return client.send(_upload(uri, content))
    except InvalidArgumentError as error:
        if error.http_status != 412:
            raise
        found = get_object(client, uri)  # ours, if it was a repeated try that came too late
        if found.md5 != base64.b64encode(hashlib.md5(content, usedforsecurity=False).digest()).decode():
            raise
        return found


def delete(client: Client, stored: StoredObject) -> None:
    """Delete an object, if it is still the same generation. One that is gone already is as good.

    :raises ApiError: when Cloud Storage refuses.
    """
    try:
        client.send(Call("DELETE", _path(stored.uri), lambda _: None, {"generation": stored.generation}, is_raw=True))
    except NotFoundError:
        return


def find_executed(
    client: Client, gcs_output_uri: str, job_id: str, predicted_uri: str | None = None
) -> StoredObject | None:
    """Return the executed notebook of a job, or ``None``: after some failures there is none.

    :param gcs_output_uri: what the job was given.
    :param predicted_uri: where it is expected. When nothing is there, the one ``.ipynb`` in the job's folder is it, if
        there is one alone.
    :raises ApiError: when Cloud Storage refuses.
    """
    if predicted_uri:
        try:
            return get_object(client, predicted_uri)
        except NotFoundError:
            pass
    bucket, prefix = _split(f"{gcs_output_uri.rstrip('/')}/{job_id}/")
    query = {"prefix": prefix, "delimiter": "/"}
    call = Call("GET", f"/storage/v1/b/{quote(bucket, safe='')}/o", Page.reader("items", StoredObject.parse), query)
    try:
        listed = list(itertools.islice(client.pages(call), _LISTED))
    except NotFoundError:  # the bucket
        return None
    notebooks = [stored for stored in listed if stored.uri.endswith(".ipynb")]
    return notebooks[0] if len(notebooks) == 1 else None


def _upload(uri: str, content: bytes) -> Call[StoredObject]:
    """Multipart: fake-gcs-server looks at preconditions in no simpler upload (1.54.0)."""
    bucket, name = _split(uri)
    boundary = hashlib.sha256(content).hexdigest()
    body = b"\r\n".join(
        [
            f"--{boundary}\r\nContent-Type: application/json; charset=UTF-8\r\n".encode(),
            json.dumps({"name": name, "contentType": _TYPE}).encode(),
            f"--{boundary}\r\nContent-Type: {_TYPE}\r\n".encode(),
            content,
            f"--{boundary}--\r\n".encode(),
        ]
    )
    headers = {"Content-Type": f"multipart/related; boundary={boundary}"}
    query = {"uploadType": "multipart", "ifGenerationMatch": "0"}
    path = f"/upload/storage/v1/b/{quote(bucket, safe='')}/o"
    return Call("POST", path, StoredObject.parse, query, body, headers=headers)


def _range(found: StoredObject, start: int, end: int) -> Call[bytes]:
    def whole(content: bytes) -> bytes:
        if len(content) != end - start:  # becomes an UnexpectedAnswerError, and is tried again
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
    # As parts of a path "." and ".." would lead elsewhere, and no percent sign protects them.
    if match is None or {match["bucket"], match["name"]} & {".", ".."}:
        raise InvalidNotebookJobError(f"{uri!r} is not the URI of an object: it must be gs://bucket/name.")
    return match["bucket"], match["name"]

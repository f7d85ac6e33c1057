"""The requests of Cloud Storage that are accepted, rewritten so that fake-gcs-server reads them as they were checked.

The path must match one of the routes; its names are decoded, checked (:mod:`.checks`) and encoded again; the query and
JSON bodies are parsed and written again. The contents of objects are streamed unread.
"""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, quote, unquote

from starlette.requests import Request

from airflow_nbjobs.emulator.errors import ServiceError
from airflow_nbjobs.emulator.storage.checks import check_bucket, check_object, check_prefix

MAX_METADATA_BYTES = 2**20
"""The largest JSON body that is accepted; Cloud Storage's own limits are far below it."""

_BUCKET, _OBJECT = "/storage/v1/b/(?P<bucket>[^/]+)", "/o/(?P<object>[^/]+)"
_TARGET = "/(?P<verb>rewriteTo|copyTo)/b/(?P<to_bucket>[^/]+)/o/(?P<to_object>[^/]+)"

# The accepted paths, encoded as they arrive, and their methods.
_ROUTES = [
    (re.compile(path), frozenset(methods.split()))
    for path, methods in (
        ("/storage/v1/b/?", "GET POST"),
        (_BUCKET, "GET POST PUT PATCH DELETE"),
        (f"{_BUCKET}/(?P<part>acl|storageLayout)", "GET POST"),
        (f"{_BUCKET}/(?P<part>acl)/(?P<entity>[^/]+)", "GET PUT DELETE"),
        (f"{_BUCKET}/o/?", "GET"),
        (f"{_BUCKET}{_OBJECT}", "GET HEAD POST PUT PATCH DELETE"),
        (f"{_BUCKET}{_OBJECT}/(?P<part>acl|compose)", "GET POST"),
        (f"{_BUCKET}{_OBJECT}/(?P<part>acl)/(?P<entity>[^/]+)", "GET PUT DELETE"),
        (f"{_BUCKET}{_OBJECT}{_TARGET}", "POST"),
        (f"/download{_BUCKET}{_OBJECT}", "GET HEAD"),
        (f"/upload{_BUCKET}/o/?", "POST PUT DELETE"),
    )
]
# A public link, the only form in which an object's slashes are not encoded. It becomes a download.
_LINK = re.compile(r"/(?P<bucket>[^/]+)/(?P<object>.+)")
_RESERVED = frozenset({"storage", "download", "upload", "batch", "_internal", "_emulator", "resumable"})

_SERVICE_PATHS = ("/v1/", "/ui/", "/_emulator/")
_CHECKS = {"bucket": check_bucket, "to_bucket": check_bucket, "object": check_object, "to_object": check_object}
_QUERY_CHECKS = {"name": check_object, "bucket": check_bucket, "object": check_object, "prefix": check_prefix}
# These belong to one connection, not to the message (RFC 9110, 7.6.1), or let a client choose the addresses in answers.
NOT_FORWARDED = frozenset(
    b"connection keep-alive proxy-authenticate proxy-authorization te trailer transfer-encoding upgrade expect "
    b"x-forwarded-proto x-forwarded-host forwarded authorization".split()
)


@dataclass
class Forward:
    """A request for fake-gcs-server: checked names, also decoded in ``names``, a query of single values, a body."""

    path: str
    query: dict[str, str]
    headers: list[tuple[bytes, bytes]]
    names: dict[str, str]
    content: AsyncIterator[bytes] | bytes | None = None

    def set_body(self, body: bytes) -> None:
        """Replace the body."""
        self.content = body
        self.headers = [(name, value) for name, value in self.headers if name != b"content-length"]
        self.headers.append((b"content-length", str(len(body)).encode()))


async def rewrite(request: Request) -> Forward:
    """Check and rewrite a request.

    :raises ServiceError: 404 or 405 if it is not emulated, 400 or 413 if it is malformed or has an invalid name.
    """
    headers = [(name, value) for name, value in request.scope["headers"] if name not in NOT_FORWARDED]
    path, names = _path(request)
    forward = Forward(path, _query(request), headers, names)
    if request.method in {"GET", "HEAD"}:
        return forward
    if not forward.path.startswith("/upload/"):
        metadata = await _metadata(request)
        # Only here the body's name is that of a bucket.
        if forward.path.rstrip("/") == "/storage/v1/b" and metadata is not None:
            check_bucket(_one_name(metadata))
        forward.set_body(b"" if metadata is None else json.dumps(metadata).encode())
    elif request.method == "POST" and "upload_id" not in forward.query:
        await _start_upload(request, forward)
    else:
        forward.content = request.stream()
    return forward


def _path(request: Request) -> tuple[str, dict[str, str]]:
    """Return the path for fake-gcs-server, and the names in it by their kind."""
    raw = request.scope["raw_path"].decode("latin-1")
    if ".." in raw.split("/"):
        raise ServiceError(400, f"Invalid path: {raw[:100]!r}")
    for pattern, methods in _ROUTES:
        if match := pattern.fullmatch(raw):
            if request.method not in methods:
                raise ServiceError(405, f"{request.method} is not a method of {raw[:100]!r}")
            return _encoded(raw, match), {group: _decoded(name) for group, name in match.groupdict().items()}
    if raw.startswith(_SERVICE_PATHS):
        text = f"{raw[:100]!r} is a path of Vertex AI, and this is the port of Cloud Storage. Check that "
        raise ServiceError(404, text + "NBJOBS_EMULATOR_HOST and STORAGE_EMULATOR_HOST are not swapped.")
    match = _LINK.fullmatch(raw)
    if match is None or match["bucket"] in _RESERVED or request.method not in {"GET", "HEAD"}:
        raise ServiceError(404, f"The emulator's Cloud Storage has no {request.method} {raw[:100]!r}")
    bucket, name = check_bucket(_decoded(match["bucket"])), check_object(_decoded(match["object"]))
    path = f"/download/storage/v1/b/{quote(bucket, safe='')}/o/{quote(name, safe='')}"
    return path, {"bucket": bucket, "object": name}


def _encoded(raw: str, match: re.Match[str]) -> str:
    """Check the names in a path, and encode them again."""
    path, end = "", 0
    for group, value in match.groupdict().items():
        name = _decoded(value)
        _CHECKS.get(group, str)(name)
        start = match.start(group)
        path += raw[end:start] + quote(name, safe="")
        end = match.end(group)
    return path + raw[end:]


def _decoded(text: str) -> str:
    try:
        return unquote(text, errors="strict")
    except UnicodeDecodeError:
        raise ServiceError(400, f"Invalid name: {text[:100]!r} is not UTF-8") from None


def _query(request: Request) -> dict[str, str]:
    raw = request.scope["query_string"].decode("latin-1")
    try:
        pairs = parse_qsl(raw, keep_blank_values=True, errors="strict", max_num_fields=100)
    except ValueError:
        raise ServiceError(400, "Invalid query") from None
    query = dict(pairs)
    if len(query) < len(pairs):
        raise ServiceError(400, "Invalid query: a parameter is given twice")
    for key, check in _QUERY_CHECKS.items():
        if query.get(key):
            check(query[key])
    return query


async def _start_upload(request: Request, forward: Forward) -> None:
    """Check the name of an object to upload, and put it into the query, which fake-gcs-server prefers to the body."""
    kind = forward.query.get("uploadType") or request.headers.get("x-goog-upload-protocol", "")
    if kind == "media":
        forward.content = request.stream()
        metadata: Any = {}
    elif kind == "multipart":
        pieces = request.stream()
        head, metadata = await _first_part(request, pieces)
        forward.content = _joined(head, pieces)
    elif kind == "resumable":
        metadata = await _metadata(request)
        # fake-gcs-server would take a bucket in the body instead of the one in the path.
        body = {key: value for key, value in (metadata or {}).items() if key.casefold() not in {"name", "bucket"}}
        forward.set_body(json.dumps(body).encode())
    else:
        raise ServiceError(400, f"Invalid uploadType: {kind[:100]!r}")
    if not forward.query.get("name"):
        forward.query["name"] = check_object(_one_name(metadata or {}))


def _one_name(metadata: dict[str, Any]) -> str:
    names = [value for key, value in metadata.items() if key.casefold() == "name"]
    if len(names) != 1 or not isinstance(names[0], str):
        raise ServiceError(400, "Required: exactly one name")
    return names[0]


async def _first_part(request: Request, pieces: AsyncIterator[bytes]) -> tuple[bytes, Any]:
    """Read a multipart upload up to the end of its first part, the metadata."""
    _refuse_compressed(request)
    boundary = re.search(r"boundary=[\"']?([^\"';]+)", request.headers.get("content-type", ""))
    if boundary is None:
        raise ServiceError(400, "Invalid Content-Type: a multipart upload needs a boundary")
    mark = re.escape(b"--" + boundary[1].strip().encode("latin-1"))
    first = re.compile(rb"\s*" + mark + rb"[ \t]*\r?\n(?:[^\r\n]+\r?\n)*\r?\n(.*?)\r?\n" + mark, re.DOTALL)
    head = b""
    async for piece in pieces:
        head += piece
        if match := first.match(head):
            return head, _parsed(match[1])
        if len(head) > MAX_METADATA_BYTES:
            break
    raise ServiceError(400, "Invalid multipart upload: its first part, the object's metadata, does not end")


async def _joined(head: bytes, rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield head
    async for piece in rest:
        yield piece


async def _metadata(request: Request) -> Any:
    _refuse_compressed(request)
    body = b""
    async for piece in request.stream():
        body += piece
        if len(body) > MAX_METADATA_BYTES:
            raise ServiceError(413, f"A JSON body is at most {MAX_METADATA_BYTES} bytes")
    return _parsed(body) if body.strip() else None


def _refuse_compressed(request: Request) -> None:
    # fake-gcs-server would decompress a body that was not checked here.
    if "content-encoding" in request.headers:
        raise ServiceError(400, "Invalid request: metadata cannot be compressed")


def _parsed(body: bytes) -> Any:
    try:
        parsed = json.loads(body.decode())
        _check_names(parsed)
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError):
        raise ServiceError(400, "Parse Error: the body is not JSON") from None
    if not isinstance(parsed, dict):
        raise ServiceError(400, "Parse Error: the body is not a JSON object")
    return parsed


def _check_names(value: Any) -> None:
    """Check every name in a JSON body except the user's metadata. fake-gcs-server ignores the case of keys."""
    if isinstance(value, list):
        value = dict(enumerate(value))
    for key, inner in value.items() if isinstance(value, dict) else ():
        folded = str(key).casefold()
        if folded in _QUERY_CHECKS and isinstance(inner, str):
            _QUERY_CHECKS[folded](inner)
        if folded not in {"metadata", "labels"}:
            _check_names(inner)

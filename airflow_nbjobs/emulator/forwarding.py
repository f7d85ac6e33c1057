"""Say a Cloud Storage request anew, so that fake-gcs-server cannot read it differently than it was checked.

A path is matched against a table, names are decoded, checked (:mod:`.names`) and encoded again, the query and JSON
bodies are parsed and written again. Contents of objects are streamed and never looked at.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, quote, unquote

from .names import BadNameError, check_bucket, check_object, check_prefix

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from starlette.requests import Request

MAX_METADATA_BYTES = 2**20
"""The largest JSON body that is accepted; Cloud Storage's own limits are far below it."""

_BUCKET, _OBJECT = "/storage/v1/b/(?P<bucket>[^/]+)", "/o/(?P<object>[^/]+)"
_TARGET = "/(?P<verb>rewriteTo|copyTo)/b/(?P<to_bucket>[^/]+)/o/(?P<to_object>[^/]+)"

# What is let through: a path as it arrives, encoded, and the methods it takes.
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
# A public link, the one form in which an object's slashes are not encoded. It is fetched like any download.
_LINK = re.compile(r"/(?P<bucket>[^/]+)/(?P<object>.+)")
_RESERVED = frozenset({"storage", "download", "upload", "batch", "_internal", "_emulator", "resumable"})

_CHECKS = {"bucket": check_bucket, "to_bucket": check_bucket, "object": check_object, "to_object": check_object}
_QUERY_CHECKS = {"name": check_object, "bucket": check_bucket, "object": check_object, "prefix": check_prefix}
# These concern one connection, not the message (RFC 9110, 7.6.1), or would let a client choose the addresses in
# answers.
NOT_PASSED_ON = frozenset(
    b"connection keep-alive proxy-authenticate proxy-authorization te trailer transfer-encoding upgrade expect "
    b"x-forwarded-proto x-forwarded-host forwarded authorization".split()
)


class RefusedError(Exception):
    """A request that is not passed on."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass
class Forward:
    """A request as fake-gcs-server is to get it: checked names, a query of single values, a body to read."""

    path: str
    query: dict[str, str]
    headers: list[tuple[bytes, bytes]]
    content: AsyncIterator[bytes] | bytes | None = field(default=None, repr=False)

    def set_body(self, body: bytes) -> None:
        """Send *body* instead of what came."""
        self.content = body
        self.headers = [(name, value) for name, value in self.headers if name != b"content-length"]
        self.headers.append((b"content-length", str(len(body)).encode()))


async def say_anew(request: Request) -> Forward:
    """Match, check and rewrite a request.

    :raises RefusedError: if it is not one that is passed on.
    :raises BadNameError: if a name in it is not allowed.
    """
    headers = [(name, value) for name, value in request.scope["headers"] if name not in NOT_PASSED_ON]
    forward = Forward(_path(request), _query(request), headers)
    if request.method in {"GET", "HEAD"}:
        return forward
    if not forward.path.startswith("/upload/"):
        metadata = await _metadata(request)
        # The one body whose name is a bucket's.
        if forward.path.rstrip("/") == "/storage/v1/b" and metadata is not None:
            check_bucket(_one_name(metadata))
        forward.set_body(b"" if metadata is None else json.dumps(metadata).encode())
    elif request.method == "POST" and "upload_id" not in forward.query:
        await _start_upload(request, forward)
    else:
        forward.content = request.stream()
    return forward


def _path(request: Request) -> str:
    raw = request.scope["raw_path"].decode("latin-1")
    if ".." in raw.split("/"):
        raise RefusedError(400, f"Invalid path: {raw[:100]!r}")
    for pattern, methods in _ROUTES:
        if match := pattern.fullmatch(raw):
            if request.method not in methods:
                raise RefusedError(405, f"{request.method} is not a method of {raw[:100]!r}")
            return _encoded(raw, match)
    match = _LINK.fullmatch(raw)
    if match is None or match["bucket"] in _RESERVED or request.method not in {"GET", "HEAD"}:
        raise RefusedError(404, f"The emulator's Cloud Storage has no {request.method} {raw[:100]!r}")
    names = [check_bucket(_decoded(match["bucket"])), check_object(_decoded(match["object"]))]
    return "/download/storage/v1/b/{}/o/{}".format(*(quote(name, safe="") for name in names))


def _encoded(raw: str, match: re.Match[str]) -> str:
    """Write a path anew with the names in it checked."""
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
        raise BadNameError(f"Invalid name: {text[:100]!r} is not UTF-8") from None


def _query(request: Request) -> dict[str, str]:
    raw = request.scope["query_string"].decode("latin-1")
    try:
        pairs = parse_qsl(raw, keep_blank_values=True, errors="strict", max_num_fields=100)
    except ValueError:
        raise RefusedError(400, "Invalid query") from None
    query = dict(pairs)
    if len(query) < len(pairs):
        raise RefusedError(400, "Invalid query: a parameter is given twice")
    for key, check in _QUERY_CHECKS.items():
        if query.get(key):
            check(query[key])
    return query


async def _start_upload(request: Request, forward: Forward) -> None:
    """Find and check the name of an object to upload, and put it into the query, which fake-gcs-server prefers."""
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
        # A bucket in the body would be taken instead of the one in the path.
        body = {key: value for key, value in (metadata or {}).items() if key.casefold() not in {"name", "bucket"}}
        forward.set_body(json.dumps(body).encode())
    else:
        raise RefusedError(400, f"Invalid uploadType: {kind[:100]!r}")
    if not forward.query.get("name"):
        forward.query["name"] = check_object(_one_name(metadata or {}))


def _one_name(metadata: dict[str, Any]) -> str:
    names = [value for key, value in metadata.items() if key.casefold() == "name"]
    if len(names) != 1 or not isinstance(names[0], str):
        raise RefusedError(400, "Required: a name, once")
    return names[0]


async def _first_part(request: Request, pieces: AsyncIterator[bytes]) -> tuple[bytes, Any]:
    """Read a multipart upload as far as its first part, the metadata, goes."""
    _refuse_compressed(request)
    boundary = re.search(r"boundary=[\"']?([^\"';]+)", request.headers.get("content-type", ""))
    if boundary is None:
        raise RefusedError(400, "Invalid Content-Type: a multipart upload names its boundary")
    mark = re.escape(b"--" + boundary[1].strip().encode("latin-1"))
    first = re.compile(rb"\s*" + mark + rb"[ \t]*\r?\n(?:[^\r\n]+\r?\n)*\r?\n(.*?)\r?\n" + mark, re.DOTALL)
    head = b""
    async for piece in pieces:
        head += piece
        if match := first.match(head):
            return head, _parsed(match[1])
        if len(head) > MAX_METADATA_BYTES:
            break
    raise RefusedError(400, "Invalid multipart upload: its first part, the object's metadata, does not end")


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
            raise RefusedError(413, f"A JSON body is at most {MAX_METADATA_BYTES} bytes")
    return _parsed(body) if body.strip() else None


def _refuse_compressed(request: Request) -> None:
    # fake-gcs-server would unpack a body that nobody here has read.
    if "content-encoding" in request.headers:
        raise RefusedError(400, "Invalid request: metadata cannot be compressed")


def _parsed(body: bytes) -> Any:
    try:
        parsed = json.loads(body.decode())
        _check_names(parsed)
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError):
        raise RefusedError(400, "Parse Error: the body is not JSON") from None
    if not isinstance(parsed, dict):
        raise RefusedError(400, "Parse Error: the body is not a JSON object")
    return parsed


def _check_names(value: Any) -> None:
    """Check every name in a JSON body but the user's own metadata. Go, and so fake-gcs-server, ignores a key's case."""
    if isinstance(value, list):
        value = dict(enumerate(value))
    for key, inner in value.items() if isinstance(value, dict) else ():
        folded = str(key).casefold()
        if folded in _QUERY_CHECKS and isinstance(inner, str):
            _QUERY_CHECKS[folded](inner)
        if folded not in {"metadata", "labels"}:
            _check_names(inner)

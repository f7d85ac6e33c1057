"""Requests read and answers written the way Google's JSON front end does it."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, NoReturn

from starlette.responses import Response

from airflow_nbjobs.emulator.errors import ApiError, invalid
from airflow_nbjobs.emulator.schema import camel_case

if TYPE_CHECKING:
    from starlette.requests import Request

MAX_BODY_BYTES = 64 * 2**20
# What Google's front ends take with every method, and what is safe to pass over here. `fields` is refused as unknown:
# a whole answer where a part was asked for would hide that the emulator has no partial ones.
_SYSTEM_PARAMETERS = frozenset(
    {"access_token", "alt", "key", "oauth_token", "prettyPrint", "quotaUser", "uploadType", "upload_protocol"}
)


def json_answer(content: object, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """Answer with JSON."""
    text = json.dumps(content, ensure_ascii=False, separators=(",", ":"))
    return Response(text, status, headers, media_type="application/json; charset=UTF-8")


def error_answer(error: ApiError) -> Response:
    """Answer with an error in Google's shape; a ``Retry-After`` is in whole seconds."""
    headers = {} if error.retry_after is None else {"Retry-After": str(math.ceil(error.retry_after))}
    return json_answer(error.body(), error.code, headers)


def page_answer(text: str, instead_of: Response) -> Response:
    """Answer with text that is none of the service's, as a proxy does: the status and ``Retry-After`` stay."""
    kept = {name: value for name, value in instead_of.headers.items() if name == "retry-after"}
    return Response(text, instead_of.status_code, kept, media_type="text/html")


def read_query(request: Request) -> dict[str, str]:
    """Read the query parameters, under camelCase names, less those that belong to every method.

    Enumerations are answered by name whatever ``$alt`` asks for: Google's clients read both.
    """
    given = request.query_params.multi_items()
    return {
        camel_case(name): value for name, value in given if name not in _SYSTEM_PARAMETERS and not name.startswith("$")
    }


async def read_body(request: Request) -> object:
    """Read a JSON body; an empty one is ``{}``.

    :raises ApiError: 400 when it is too large, not declared as JSON, or no JSON.
    """
    parts, size = [], 0
    async for part in request.stream():
        parts.append(part)
        size += len(part)
        if size > MAX_BODY_BYTES:
            raise invalid("", f"Request payload size exceeds the limit: {MAX_BODY_BYTES} bytes.")
    content = b"".join(parts)
    if not content:
        return {}
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise invalid("", f"The body must be declared as Content-Type: application/json, not {kind!r}.")
    try:
        return json.loads(content, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise invalid("", f"Invalid JSON payload received: {error}") from None


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")

"""Read requests and write answers as Google's JSON front end does."""

from __future__ import annotations

import json
import math
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

from starlette.requests import Request
from starlette.responses import Response

from airflow_nbjobs.emulator.errors import ServiceError, invalid
from airflow_nbjobs.emulator.json_format import camel_case
from airflow_nbjobs.emulator.resources import Parent

MAX_BODY_BYTES = 64 * 2**20
# Google's front ends accept these with every method, and they can be ignored here. `fields` is refused as unknown: a
# whole answer where a part was asked for would hide that the emulator has no partial ones.
_SYSTEM_PARAMETERS = frozenset(
    {"access_token", "alt", "key", "oauth_token", "prettyPrint", "quotaUser", "uploadType", "upload_protocol"}
)


@dataclass(frozen=True)
class MethodRequest:
    """A request that has been read.

    :param path: the variable segments of the path, by name.
    :param query: the query under camelCase names, without the parameters that every method has.
    :param body: the JSON body; ``{}`` when it is empty.
    """

    path: Mapping[str, str]
    query: Mapping[str, str]
    body: object

    @property
    def parent(self) -> Parent:
        """The project and the location."""
        return Parent.parse(self.path["project"], self.path["location"])

    def only(self, *known: str) -> Mapping[str, str]:
        """Return the query.

        :raises ServiceError: 400 when it has another parameter than the known ones.
        """
        for name in self.query:
            if name not in known:
                text = f'Invalid JSON payload received. Unknown name "{name}": Cannot bind query parameter.'
                raise invalid(name, text)
        return self.query


Method = Callable[[MethodRequest], Awaitable[dict[str, Any]]]
MethodRoute = tuple[str, str, str, Method]
"""The path, the HTTP verb, the method's name, and the method itself."""


def read_mask(call: MethodRequest) -> list[str]:
    """Return the fields of ``updateMask``.

    :raises ServiceError: 400 when it is missing.
    """
    fields = [field.strip() for field in call.only("updateMask").get("updateMask", "").split(",")]
    if not all(fields):
        raise invalid("update_mask", "The update_mask is required: the fields to change, with commas.")
    return fields


async def read_request(request: Request) -> MethodRequest:
    """Read a request completely.

    Enumerations are answered by name whatever ``$alt`` asks for: Google's clients read both.

    :raises ServiceError: 400 for a body that is too large, not declared as JSON, or malformed.
    """
    given = request.query_params.multi_items()
    query = {
        camel_case(name): value for name, value in given if name not in _SYSTEM_PARAMETERS and not name.startswith("$")
    }
    return MethodRequest(request.path_params, query, await read_body(request))


async def read_body(request: Request) -> object:
    """Read a JSON body; an empty one is ``{}``.

    :raises ServiceError: 400 when it is too large, not declared as JSON, or malformed.
    """
    content = bytearray()
    async for part in request.stream():
        content += part
        if len(content) > MAX_BODY_BYTES:
            raise invalid("", f"Request payload size exceeds the limit: {MAX_BODY_BYTES} bytes.")
    if not content:
        return {}
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise invalid("", f"The body must be declared as Content-Type: application/json, not {kind!r}.")
    try:
        return json.loads(content, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise invalid("", f"Invalid JSON payload received: {error}") from None


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def json_answer(content: object, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """Return an answer with a JSON body."""
    text = json.dumps(content, ensure_ascii=False, separators=(",", ":"))
    return Response(text, status, headers, media_type="application/json; charset=UTF-8")


def error_answer(error: ServiceError) -> Response:
    """Return an error in Google's shape; ``Retry-After`` is in whole seconds."""
    headers = {} if error.retry_after is None else {"Retry-After": str(math.ceil(error.retry_after))}
    return json_answer(error.body(), error.code, headers)

"""Orders, page sizes and page tokens of all lists. A token is bound to its request, as AIP-158 has it."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import re
from collections.abc import Collection, Sequence
from typing import Any

from airflow_nbjobs.emulator.errors import invalid
from airflow_nbjobs.emulator.json_format import camel_case


def read_order(text: str, known: Collection[str]) -> list[tuple[str, bool]]:
    """Read an ``orderBy`` into fields, each with whether it is descending; the newest is first without one.

    :param known: the fields, in camelCase.
    :raises ServiceError: 400 for an unknown field, another direction than ``desc``, or a field given twice.
    """
    order: list[tuple[str, bool]] = []
    for part in text.split(",") if text.strip() else []:
        match = re.fullmatch(r"\s*([A-Za-z_]+)(\s+desc)?\s*", part)
        field = camel_case(match[1]) if match else ""
        if not match or field not in known or field in dict(order):
            fields = f"{', '.join(known)}, each with an optional 'desc'"
            raise invalid("order_by", f"Invalid order_by {text!r}: cannot use {part.strip()!r}; known are {fields}.")
        order.append((field, bool(match[2])))
    return order or [("createTime", True)]


def page_size(text: str | None, *, limit: int | None = 100) -> int:
    """Read ``pageSize``; 100 when it is missing or 0.

    :raises ServiceError: 400 when it is not a number, negative, or over the limit.
    """
    if not re.fullmatch("[0-9]{0,9}", text or "") or int(text or 0) > (limit or 10**9):
        rule = f"from 0 to {limit}" if limit else "a number, and not negative"
        raise invalid("page_size", f"Invalid page_size {text!r}: it must be {rule}.")
    return int(text or 0) or 100


def fingerprint(*asked: str) -> str:
    """Return a short hash of what a list asks for."""
    return hashlib.sha256("\0".join(asked).encode()).hexdigest()[:12]


def write_token(request: str, values: Sequence[Any]) -> str:
    """Return the token of the page that begins after an item.

    :param request: the :func:`fingerprint` of the request.
    :param values: the item's place in the order.
    """
    text = json.dumps([request, *values])
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def read_token(token: str, request: str, types: Sequence[type]) -> list[Any]:
    """Return the values of a token.

    :param types: the type of each value.
    :raises ServiceError: 400 for a malformed token, or one of another request.
    """
    try:
        found = json.loads(base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True))
    except (binascii.Error, ValueError):
        found = None
    if not isinstance(found, list) or found[:1] != [request] or [type(value) for value in found[1:]] != list(types):
        raise invalid("page_token", f"Invalid page_token {token!r}: it is malformed, or of another request.")
    return found[1:]

"""Page sizes and page tokens of all lists. A token is bound to its request, as AIP-158 has it."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import re
from collections.abc import Sequence
from typing import Any

from airflow_nbjobs.emulator.errors import invalid


def page_size(text: str | None, default: int) -> int:
    """Read ``pageSize``; the default when it is missing or 0.

    :raises ServiceError: 400 when it is not a number, or negative.
    """
    if not re.fullmatch("[0-9]{0,9}", text or ""):
        raise invalid("page_size", f"Invalid page_size {text!r}: it must be a number, and not negative.")
    return int(text or 0) or default


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

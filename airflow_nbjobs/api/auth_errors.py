"""Heuristics, seen in google-auth 2.62: what its errors say, and whether another try may succeed.

google-auth wraps the errors of its requests, marks most of them as final, and repeats whole answers of the token
service in its messages. An answer may hold a token, even if it is not what was asked for.
"""

from __future__ import annotations

import json
from typing import Any

from google.auth import exceptions

from airflow_nbjobs.api.redacting import redacted

__all__ = ["is_missing", "is_transient", "words_of"]

_UNEXPECTED = ("No access token", "Unexpected response")
"""How google-auth reports a 200 without a token. A refusal has another status: this is a proxy, or a server's start."""


def is_missing(error: BaseException) -> bool:
    """Return whether the machine has no default credentials yet: its metadata server may start after its first task."""
    return isinstance(error, exceptions.DefaultCredentialsError) and "credentials were not found" in str(error)


def is_transient(error: BaseException) -> bool:
    """Return whether another try may succeed."""
    if isinstance(error, exceptions.InvalidValue) or getattr(error, "retryable", False):
        return True  # InvalidValue: the token cannot be sent in a header
    if isinstance(error, exceptions.DefaultCredentialsError):
        return is_missing(error)  # the others are about files
    if any(isinstance(part, str) and words in part for part in error.args for words in _UNEXPECTED):
        return True
    status = next((status for status in map(_status, error.args) if status is not None), None)
    if status is not None:
        return status in {408, 429} or status >= 500
    is_lost = isinstance(error, exceptions.TransportError)
    return is_lost or any(is_transient(wrapped) for wrapped in error.args if isinstance(wrapped, Exception))


def _status(part: object) -> int | None:
    """Return the HTTP status of an answer, or of an answer's body, in an error's arguments."""
    if isinstance(part, str):
        if part.lstrip().startswith("<"):
            return 502  # an HTML page comes from a proxy, not from the token service
        part = _parsed(part)
    error = part.get("error") if isinstance(part, dict) else None
    status = error.get("code") if isinstance(error, dict) else getattr(part, "status", None)
    return status if isinstance(status, int) else None


def words_of(error: BaseException) -> str:
    """Return an error's message without secrets: of an answer only ``error`` and ``error_description`` are kept."""
    if isinstance(error, exceptions.InvalidValue):
        return "the token has characters that a header cannot carry"
    if isinstance(error, OSError) and error.filename:
        return redacted(f"{error.strerror}: {error.filename!r}")
    parts: list[str] = []
    for part in map(_text_of, error.args):
        if part and not any(part in other for other in parts):
            parts.append(part)
    return "; ".join(parts) or f"{type(error).__name__} without a message"


def _text_of(part: object) -> str:
    if isinstance(part, BaseException):
        return words_of(part)
    if isinstance(part, str) and not part.lstrip().startswith(("{", "[", '"')):
        return " ".join(redacted(part[:5_000]).split())[:500]
    answer = _parsed(part) if isinstance(part, str) else part
    if not isinstance(answer, dict):
        return ""
    error = answer.get("error")
    texts = (
        (error.get("status"), error.get("message"))
        if isinstance(error, dict)
        else (error, answer.get("error_description"))
    )
    return redacted(": ".join(text for text in texts if isinstance(text, str)))[:500]


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None

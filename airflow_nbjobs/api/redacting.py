"""Remove secrets from answers before they become error messages: a proxy's page may repeat the whole request."""

from __future__ import annotations

import re
from typing import Any

__all__ = ["redacted", "redacted_json", "without_user"]

_MASK = "***"
_SHORTEST = 8
"""Minimum characters of a known secret that is removed: a shorter one would match ordinary words."""

_NAME = r"(?:token|secret|password|assertion|private_?key|jwt)"
_NAMED = re.compile(_NAME, re.IGNORECASE)

_LONGEST = 5_000
"""Characters of each text of an answer that are kept."""

# All repetitions before a value are bounded, or the time would grow with the square of the length: on an event loop
# nothing else runs in the meantime.

_SECRETS = (
    # "access_token": "…" in JSON, in JSON within a text, and in Python's repr.
    re.compile(
        rf"""(?P<kept>{_NAME}[\w-]{{0,40}}\\{{0,8}}["']\s{{0,8}}:\s{{0,8}}(?P<quote>\\{{0,8}}["']))"""
        r"""(?:(?!(?<!\\)(?P=quote)).)*""",
        re.IGNORECASE | re.DOTALL,
    ),
    # The same in a form, a header or an address; shorter values are ordinary words.
    re.compile(rf"(?P<kept>{_NAME}[\w-]{{0,40}}\s{{0,8}}[:=]\s{{0,8}})[\w.~+/%-]{{16,}}=*", re.IGNORECASE),
    re.compile(r"(?P<kept>\b(?:Bearer|Basic)(?:\s|%20|\+){1,8})[\w.~+/%-]{8,}=*", re.IGNORECASE),
    re.compile(r"(?P<kept>-----BEGIN [A-Z ]{0,20}PRIVATE KEY-----)(?:(?!-----END)[^\"'<])*"),
    re.compile(r"(?P<kept>//)[^\s/?#\"'<>@]{0,300}(?=@)"),
    # Google's access tokens, and JSON in base64 (JWTs).
    re.compile(r"(?P<kept>\b)(?:ya29\.|eyJ)[\w.-]{8,}"),
)


def redacted(text: str, *secrets: str) -> str:
    """Return a text with ``***`` in place of everything that looks like a secret, or has a secret's name.

    :param secrets: known secrets to remove as well.
    """
    for secret in secrets:
        if len(secret) >= _SHORTEST:
            text = text.replace(secret, _MASK)
    for pattern in _SECRETS:
        text = pattern.sub(rf"\g<kept>{_MASK}", text)
    return text


def redacted_json(value: Any, *secrets: str) -> Any:
    """Return parsed JSON with all its texts redacted and cut to 5,000 characters.

    :param secrets: known secrets to remove as well.
    """
    if isinstance(value, str):
        return redacted(value[:_LONGEST], *secrets)
    if isinstance(value, list):
        return [redacted_json(each, *secrets) for each in value]
    if isinstance(value, dict):
        return {
            key: _MASK if isinstance(each, str) and _NAMED.search(key) else redacted_json(each, *secrets)
            for key, each in value.items()
        }
    return value


def without_user(address: object) -> str:
    """Return an address quoted for a message, with ``***`` in place of a user and a password."""
    return re.sub(r"(['\"])(\w+://)?.*@", rf"\1\2{_MASK}@", repr(address), flags=re.DOTALL)

"""Secrets are left out of what others say before it becomes our error: a proxy's page may repeat the whole request."""

from __future__ import annotations

import re
from typing import Any

__all__ = ["redacted", "redacted_json", "without_user"]

_MASK = "***"
_SHORTEST = 8
"""Characters of a secret that is looked for as such: a shorter one is in too many words."""

_NAME = r"(?:token|secret|password|assertion|private_?key|jwt)"
_NAMED = re.compile(_NAME, re.IGNORECASE)

# All repetitions before a value are bounded: a long text that is none of these must not be tried from each of its
# characters to its end, since nothing else has its turn meanwhile.
_LONGEST = 5_000
"""Characters of a text of an answer that errors repeat."""

_SECRETS = (
    # "access_token": "…" of JSON, of JSON within a text, and of Python's repr.
    re.compile(
        rf"""(?P<kept>{_NAME}[\w-]{{0,40}}\\{{0,8}}["']\s{{0,8}}:\s{{0,8}}(?P<quote>\\{{0,8}}["']))"""
        r"""(?:(?!(?<!\\)(?P=quote)).)*""",
        re.IGNORECASE | re.DOTALL,
    ),
    # The same of a form, a header or an address; what is shorter is a word.
    re.compile(rf"(?P<kept>{_NAME}[\w-]{{0,40}}\s{{0,8}}[:=]\s{{0,8}})[\w.~+/%-]{{16,}}=*", re.IGNORECASE),
    re.compile(r"(?P<kept>\b(?:Bearer|Basic)(?:\s|%20|\+){1,8})[\w.~+/%-]{8,}=*", re.IGNORECASE),
    re.compile(r"(?P<kept>-----BEGIN [A-Z ]{0,20}PRIVATE KEY-----)(?:(?!-----END)[^\"'<])*"),
    re.compile(r"(?P<kept>//)[^\s/?#\"'<>@]{0,300}(?=@)"),
    # Google's access tokens, and what is JSON in base64: tokens again.
    re.compile(r"(?P<kept>\b)(?:ya29\.|eyJ)[\w.-]{8,}"),
)


def redacted(text: str, *secrets: str) -> str:
    """Return a text without what is a secret by its looks or by its name.

    :param secrets: what must not be in it either.
    """
    for secret in secrets:
        if len(secret) >= _SHORTEST:
            text = text.replace(secret, _MASK)
    for pattern in _SECRETS:
        text = pattern.sub(rf"\g<kept>{_MASK}", text)
    return text


def redacted_json(value: Any, *secrets: str) -> Any:
    """Return JSON that was read without such secrets, and without the texts under their names."""
    if isinstance(value, str):
        return redacted(value[:_LONGEST], *secrets)
    if isinstance(value, list):
        return [redacted_json(each, *secrets) for each in value]
    if isinstance(value, dict):
        return {
            key: _MASK if isinstance(told, str) and _NAMED.search(key) else redacted_json(told, *secrets)
            for key, told in value.items()
        }
    return value


def without_user(address: object) -> str:
    """Return an address as messages quote it, without the user and the password that do not belong there."""
    return re.sub(r"(['\"])(\w+://)?.*@", rf"\1\2{_MASK}@", repr(address), flags=re.DOTALL)

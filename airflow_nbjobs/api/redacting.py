"""Secrets are left out of what others say before it becomes our error: a proxy's page may repeat the whole request."""

from __future__ import annotations

import re

__all__ = ["redacted", "without_user"]

_MASK = "***"
_SHORTEST = 8
"""Characters of a secret that is looked for as such: a shorter one is in too many words."""

_SECRETS = (
    # "access_token": "…" of JSON, of JSON within a text, and of Python's repr.
    re.compile(
        r"""(?P<kept>[\w-]*(?:token|secret|password|assertion|private_?key|jwt)[\w-]*\\*["']\s*:\s*(?P<quote>\\*["']))"""
        r"""(?:(?!(?<!\\)(?P=quote)).)*""",
        re.IGNORECASE | re.DOTALL,
    ),
    # The same of a form, a header or an address; what is shorter is a word.
    re.compile(
        r"(?P<kept>(?:token|secret|password|assertion|private_?key|jwt)[\w-]*\s*[:=]\s*)[\w.~+/%-]{16,}=*",
        re.IGNORECASE,
    ),
    re.compile(r"(?P<kept>\b(?:Bearer|Basic)(?:\s|%20|\+)+)[\w.~+/%-]{8,}=*", re.IGNORECASE),
    re.compile(r"(?P<kept>-----BEGIN [A-Z ]*PRIVATE KEY-----)(?:(?!-----END)[^\"'<])*"),
    re.compile(r"(?P<kept>//)[^\s/?#\"'<>@]*(?=@)"),
    # Google's access tokens, and what is JSON in base64: tokens again.
    re.compile(r"(?P<kept>\b)(?:ya29\.|eyJ)[\w.-]{8,}"),
)


def redacted(text: str, *secrets: str) -> str:
    """Return a text without what is a secret by its looks or by its name; JSON stays JSON.

    :param secrets: what must not be in it either.
    """
    for secret in secrets:
        if len(secret) >= _SHORTEST:
            text = text.replace(secret, _MASK)
    for pattern in _SECRETS:
        text = pattern.sub(rf"\g<kept>{_MASK}", text)
    return text


def without_user(address: object) -> str:
    """Return an address as messages quote it, without the user and the password that do not belong there."""
    return re.sub(r"(['\"])(\w+://)?.*@", rf"\1\2{_MASK}@", repr(address), flags=re.DOTALL)

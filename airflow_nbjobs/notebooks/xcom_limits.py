"""What of JSON Airflow can carry from task to task: less than Python writes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airflow_nbjobs.notebooks.parameters import MAX_DEPTH

__all__ = ["check_carried"]

# Its serialiser reads dicts with these keys as objects (airflow.sdk.serde), or refuses them.
_RESERVED = frozenset({"__classname__", "__id__", "__type", "__var"})
_LEAST, _MOST = -(2**63), 2**64 - 1


def check_carried(name: str, value: Any) -> None:
    """Check that a reported value gets through Airflow: the worker's MessagePack, its API server, and PostgreSQL.

    What does not would fail the task after the notebook succeeded, with words that name neither of them.

    :param value: JSON.
    :raises ValueError: saying why, after the name and "cannot be carried by Airflow: ".
    """
    pending: list[tuple[Any, int]] = [({name: value}, 0)]
    while pending:
        item, depth = pending.pop()
        if depth > MAX_DEPTH:
            raise ValueError(f"it is nested more than {MAX_DEPTH} levels deep")
        if isinstance(item, Mapping):
            if reserved := sorted(_RESERVED & item.keys()):
                raise ValueError(f"Airflow keeps the key {reserved[0]!r} for itself")
            pending += [(part, depth + 1) for part in (*item, *item.values())]
        elif isinstance(item, list | tuple):
            pending += [(part, depth + 1) for part in item]
        elif isinstance(item, str):
            _check_text(item)
        elif isinstance(item, int) and not _LEAST <= item <= _MOST:
            raise ValueError("it holds a whole number of more than 64 bits: report it as text")


def _check_text(text: str) -> None:
    if "\0" in text:
        raise ValueError("it holds a NUL character")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ValueError("it holds half a surrogate pair, which is no Unicode") from error

"""Limits of Airflow on a value that goes from task to task: not all JSON gets through."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airflow_nbjobs.notebooks.parameters import MAX_DEPTH

__all__ = ["check_carried"]

# Airflow's serializer (airflow.sdk.serde) reads a dict with such a key as an object, or refuses it.
_RESERVED = frozenset({"__classname__", "__id__", "__type", "__var"})
_LEAST, _MOST = -(2**63), 2**64 - 1


def check_carried(name: str, value: Any) -> None:
    """Check that Airflow can carry a reported value: the worker's MessagePack, the API server and PostgreSQL.

    A value that they refuse would fail the task after the notebook succeeded, with an error that names neither.

    :param name: under which the value is reported; it is checked too.
    :param value: JSON.
    :raises ValueError: with the reason, to be put after "cannot be carried by Airflow: ".
    """
    pending: list[tuple[Any, int]] = [({name: value}, 0)]
    while pending:
        item, depth = pending.pop()
        if depth > MAX_DEPTH:
            raise ValueError(f"it is nested more than {MAX_DEPTH} levels deep")
        if isinstance(item, Mapping):
            if reserved := sorted(_RESERVED & item.keys()):
                raise ValueError(f"Airflow reserves the key {reserved[0]!r}")
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
        raise ValueError("it holds half a surrogate pair, which is not valid Unicode") from error

"""Parameter values: what may be one, made plain before anything is written for a kernel."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

from airflow_nbjobs.exceptions import InvalidNotebookJobError

__all__ = ["MAX_DEPTH", "plain_parameters"]

MAX_DEPTH = 90
"""Levels that a value may be nested. Python's own parser takes 200 brackets at most, others' less."""

_BINARY = bytes | bytearray | memoryview


def plain_parameters(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters with nothing but JSON's types in them.

    Dates and datetimes (pendulum's too) become their ISO 8601 text, tuples and other sequences lists, mappings dicts,
    and subclasses of ``str``, ``int`` and ``float`` what they are a subclass of.

    :raises InvalidNotebookJobError: for anything else, with its place: ``parameters['a'][2]``. That holds for NaN and
        the infinities as well, which JSON has no word for, and most languages another one.
    """
    if not isinstance(parameters, Mapping):
        raise InvalidNotebookJobError(f"parameters={parameters!r} is no mapping: give a dict of names and values.")
    return _plain_mapping(parameters, "parameters", 0)


def _plain(value: Any, place: str, depth: int) -> Any:
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return str.__str__(value)  # what an enum or a marked-up text says of itself is not its value
    if isinstance(value, int):
        return _plain_int(value, place)
    if isinstance(value, float):
        return _plain_float(value, place)
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, Mapping):
        return _plain_mapping(value, place, depth)
    if isinstance(value, Sequence) and not isinstance(value, _BINARY):
        _check_depth(place, depth)
        return [_plain(item, f"{place}[{index}]", depth + 1) for index, item in enumerate(value)]
    raise InvalidNotebookJobError(
        f"{place} is of type {type(value).__name__}, which cannot be written into a notebook: give text, a number, "
        "a bool, None, a date or datetime, or a list or dict of them."
    )


def _plain_mapping(value: Mapping[Any, Any], place: str, depth: int) -> dict[str, Any]:
    _check_depth(place, depth)
    plain = {}
    for key, item in value.items():
        if not isinstance(key, str):
            raise InvalidNotebookJobError(
                f"{place} has the key {key!r} of type {type(key).__name__}: a JSON object's keys are text."
            )
        plain[str.__str__(key)] = _plain(item, f"{place}[{key!r}]", depth + 1)
    return plain


def _plain_int(value: int, place: str) -> int:
    number = int(value)
    try:
        str(number)
    except ValueError as error:  # Python writes and reads 4300 digits, unless told otherwise
        raise InvalidNotebookJobError(f"{place} is a number too long to write: {error}.") from error
    return number


def _plain_float(value: float, place: str) -> float:
    number = float(value)
    if number - number != 0:
        raise InvalidNotebookJobError(
            f"{place} is {number}, which JSON has no word for: give None, or text that the notebook reads."
        )
    return number


def _check_depth(place: str, depth: int) -> None:
    if depth > MAX_DEPTH:
        raise InvalidNotebookJobError(
            f"{place[:60]}… is nested more than {MAX_DEPTH} levels deep, or contains itself: give it as JSON text."
        )

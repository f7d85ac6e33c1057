"""Values of parameters: checked, and converted to the types of JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from airflow_nbjobs.exceptions import InvalidNotebookJobError
from airflow_nbjobs.notebooks.scalars import Missing, find_missing, python_scalar

__all__ = ["MAX_DEPTH", "plain_parameters"]

MAX_DEPTH = 90
"""How deep a value may be nested. Python's parser takes 200 brackets; others take fewer."""

_BINARY = bytes | bytearray | memoryview


def plain_parameters(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters with only the types of JSON in them.

    Dates and datetimes become ISO 8601 text. Sequences become lists, mappings dicts, and instances of subclasses of
    ``str``, ``int`` and ``float`` plain ones. Scalars of numpy and pandas become what the same values of Python become.

    :raises InvalidNotebookJobError: for every other type, for infinities, and for missing values (NaN, NaT, NA), which
        JSON does not have. The error names the place: ``parameters['a'][2]``.
    """
    if not isinstance(parameters, Mapping):
        raise InvalidNotebookJobError(f"parameters={parameters!r} is not a mapping. Give a dict of names and values.")
    return _plain_mapping(parameters, "parameters", 0)


def _plain(value: Any, place: str, depth: int) -> Any:
    value = python_scalar(value)
    if missing := find_missing(value, place) if isinstance(value, Missing | float) else None:
        raise InvalidNotebookJobError(
            f"{missing}, which JSON does not have. Give None, or text that the notebook converts."
        )
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return str.__str__(value)  # a subclass can have a __str__ that returns something else
    if isinstance(value, int):
        return _plain_int(value, place)
    if isinstance(value, float):
        return float(value)
    if isinstance(value, Mapping):
        return _plain_mapping(value, place, depth)
    if isinstance(value, Sequence) and not isinstance(value, _BINARY):
        _check_depth(place, depth)
        return [_plain(item, f"{place}[{index}]", depth + 1) for index, item in enumerate(value)]
    raise InvalidNotebookJobError(
        f"{place} is of type {type(value).__name__}, which cannot be written into a notebook. Give text, a number, "
        "a bool, None, a date, a datetime, or a list or dict of these."
    )


def _plain_mapping(value: Mapping[Any, Any], place: str, depth: int) -> dict[str, Any]:
    _check_depth(place, depth)
    plain = {}
    for key, item in value.items():
        if not isinstance(key, str):
            raise InvalidNotebookJobError(
                f"{place} has the key {key!r} of type {type(key).__name__}: the keys of a JSON object are text."
            )
        plain[str.__str__(key)] = _plain(item, f"{place}[{key!r}]", depth + 1)
    return plain


def _plain_int(value: int, place: str) -> int:
    number = int(value)
    try:
        str(number)
    except ValueError as error:  # by default Python converts at most 4300 digits
        raise InvalidNotebookJobError(f"{place} is a number too long to write: {error}.") from error
    return number


def _check_depth(place: str, depth: int) -> None:
    if depth > MAX_DEPTH:
        raise InvalidNotebookJobError(
            f"{place[:60]}… is nested more than {MAX_DEPTH} levels deep, or contains itself. Give it as JSON text."
        )

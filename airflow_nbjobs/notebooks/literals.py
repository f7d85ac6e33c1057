"""Values in text: JSON, and literals of Python with the scalars of numpy and pandas."""

from __future__ import annotations

import ast
import json
import re
import warnings
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any
from zoneinfo import ZoneInfo

from airflow_nbjobs.notebooks.scalars import Missing, iso_text

__all__ = ["ShortenedError", "read_value"]

_INTEGERS = re.compile(r"u?int(?:c|p|8|16|32|64)?|(?:u?long|u?longlong|u?short|u?byte)")
_FLOATS = re.compile(r"float(?:16|32|64|96|128)?|longdouble|half|single|double")
_CONSTANTS: dict[str, Any] = {
    "nan": float("nan"), "NaN": float("nan"), "inf": float("inf"), "Infinity": float("inf"),
    "NaT": Missing("NaT"), "NA": Missing("NA"), "True_": True, "False_": False,
}  # fmt: skip
_MODULES = frozenset({"datetime", "np", "numpy", "pandas", "pd", "timezone", "zoneinfo"})


class ShortenedError(ValueError):
    """A text is shortened: IPython prints an ellipsis for the rest of a long value."""


def read_value(text: str) -> Any:
    """Read a value that is written as JSON or as a literal of Python, as ``print`` and IPython write it.

    The table in ``docs/decisions/notebooks.md`` says what becomes of which type.

    :returns: the types of JSON. NaN and infinities are floats, ``NaT`` and ``NA`` are :class:`Missing`.
    :raises ShortenedError: when an ellipsis stands for a part of the value.
    :raises ValueError: when the text is neither.
    """
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        pass
    try:
        return _evaluate(_parse(text.strip()))
    except (SyntaxError, TypeError, OverflowError, RecursionError, MemoryError) as error:
        raise ValueError("the text is not a value") from error


def _parse(text: str) -> ast.expr:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of escape sequences that Python does not know
        try:
            return ast.parse(text, mode="eval").body
        except SyntaxError:
            if "<NA>" not in text:
                raise
            return ast.parse(text.replace("<NA>", "NA"), mode="eval").body  # how pandas writes it


def _evaluate(node: ast.expr) -> Any:
    match node:
        case ast.Constant(value=None | bool() | int() | float() | str() as value):
            return value
        case ast.Constant(value=value) if value is ...:
            raise ShortenedError("the text is shortened")
        case ast.List(elts=items) | ast.Tuple(elts=items):
            return [_evaluate(item) for item in items]
        case ast.Dict(keys=keys, values=values):
            return {_key(key): _evaluate(value) for key, value in zip(keys, values, strict=True)}
        case ast.UnaryOp(op=ast.USub() | ast.UAdd() as sign, operand=operand):
            number = _evaluate(operand)
            return -number if isinstance(sign, ast.USub) else +number
        case ast.Name(id=name) | ast.Attribute(attr=name) if name in _CONSTANTS and _is_known(node):
            return _CONSTANTS[name]
        case ast.Call(func=function, args=arguments, keywords=keywords) if _is_known(function):
            zones = {keyword.arg or "": _zone(keyword.value) for keyword in keywords}
            return _construct(ast.unparse(function).rpartition(".")[2], [*map(_evaluate, arguments)], zones)
    raise ValueError(f"a {type(node).__name__} is not a value")


def _key(node: ast.expr | None) -> Any:
    key = _evaluate(node) if node is not None else []
    if not isinstance(key, str | int | float | None):
        raise ValueError("a key is not text, a number or None")  # noqa: TRY004 - as for every text without a value
    return key


def _is_known(node: ast.expr) -> bool:
    """Return whether a name is used alone or with its module: ``nan``, ``np.nan``, ``datetime.date``."""
    while isinstance(node, ast.Attribute):
        node = node.value
        if not isinstance(node, ast.Attribute | ast.Name) or _last_name(node) not in _MODULES:
            return False
    return isinstance(node, ast.Name)


def _last_name(node: ast.Attribute | ast.Name) -> str:
    return node.attr if isinstance(node, ast.Attribute) else node.id


def _construct(name: str, arguments: list[Any], zones: dict[str, Any]) -> Any:
    first = arguments[0] if arguments else None
    if isinstance(first, Missing) or (name == "datetime64" and first == "NaT"):
        return Missing("NaT")
    if name == "datetime":
        return datetime(*arguments, **zones).isoformat()  # noqa: DTZ001 - a naive one stays naive
    if name == "date":
        return date(*arguments).isoformat()
    if name in ("Timestamp", "datetime64") and isinstance(first, str):
        return iso_text(first)
    if not zones and len(arguments) == 1 and (convert := _converter(name)):
        return convert(first)
    raise ValueError(f"{name} is not a type of a value")


def _zone(node: ast.expr) -> Any:
    """Return the time zone in ``tzinfo=datetime.timezone.utc``, and whatever other keywords have."""
    match node:
        case ast.Attribute(attr="utc" | "UTC"):
            return UTC
        case ast.Call(func=ast.Attribute(attr="timezone"), args=[ast.Call(keywords=keywords)]):
            return timezone(timedelta(**{str(keyword.arg): _evaluate(keyword.value) for keyword in keywords}))
        case ast.Call(
            func=ast.Attribute(attr="ZoneInfo"), keywords=[ast.keyword(value=ast.Constant(value=str() as key))]
        ):
            return ZoneInfo(key)
    return _evaluate(node)


def _converter(name: str) -> Callable[[Any], Any] | None:
    if name in ("bool", "bool_", "str_"):
        return str if name == "str_" else bool
    return int if _INTEGERS.fullmatch(name) else float if _FLOATS.fullmatch(name) else None

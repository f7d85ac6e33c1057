"""The list method's ``filter`` and ``orderBy``, as conditions for SQLite.

Documented (discovery document, list method): ``notebookExecutionJob`` takes ``=`` and ``!=``, ``displayName`` and
``schedule`` take ``=``, ``!=`` and a regex ``=~``, in camelCase or snake_case; ``scheduleResourceName`` works
too. Several terms are joined by ``AND`` or by a blank, as AIP-160 has it. Everything else is refused.
A regex must match the whole value: the stricter reading of what the documents leave open.
"""

from __future__ import annotations

import functools
import re
from typing import TYPE_CHECKING

from airflow_nbjobs.emulator.errors import ApiError, invalid
from airflow_nbjobs.emulator.ids import with_project_number

if TYPE_CHECKING:
    from collections.abc import Mapping

_TERM = re.compile(
    r"""\s*(?P<field>[A-Za-z_]+)\s*(?P<operator>!=|=~|=)\s*
    (?:"(?P<double>(?:[^"\\]|\\.)*)"|'(?P<single>(?:[^'\\]|\\.)*)'|(?P<bare>[^\s"'()=]+))(?=\s|$)""",
    re.VERBOSE,
)
_COLUMNS: Mapping[str, str] = {
    "notebookExecutionJob": "id",
    "notebook_execution_job": "id",
    "displayName": "display_name",
    "display_name": "display_name",
    "schedule": "schedule",
    "scheduleResourceName": "schedule",
    "schedule_resource_name": "schedule",
}
_ORDERS: Mapping[str, str] = {
    "display_name": "display_name",
    "displayName": "display_name",
    "create_time": "created",
    "createTime": "created",
    "update_time": "updated",
    "updateTime": "updated",
}
# RE2, which Google's services use, has no look-around and no back-reference.
_NOT_RE2 = re.compile(r"\(\?(?:[=!]|<[=!]|P=|\()|(?<!\\)(?:\\\\)*\\[1-9]")

Condition = tuple[str, list[str]]


def parse_filter(text: str) -> Condition:
    """Turn a filter into an SQL condition and its parameters; the empty filter is always true.

    :raises ApiError: 400 for an unknown field, an operator that the field has not, or anything that is no term.
    """
    position, conditions, parameters = 0, ["1"], list[str]()
    text = text.strip()
    while position < len(text):
        term = _TERM.match(text, position)
        if not term:
            raise _bad_filter(text, f"cannot read {text[position:].strip()!r}")
        sql, values = _condition(term, text)
        conditions.append(sql)
        parameters += values
        joint = re.compile(r"\s+AND\s+(?=\S)|\s+(?!AND\b)|$").match(text, term.end())
        if not joint:
            raise _bad_filter(text, f"cannot read {text[term.end() :].strip()!r}")
        position = joint.end()
    return " AND ".join(conditions), parameters


def parse_order(text: str) -> list[tuple[str, bool]]:
    """Turn an ``orderBy`` into columns, each with whether it goes down.

    The last column is always the row's own number, so that the order is complete. Without ``orderBy`` the newest job
    comes first.

    :raises ApiError: 400 for an unknown field, a direction other than ``desc``, or a field given twice.
    """
    if not text.strip():
        return [("created", True), ("seq", True)]
    columns: list[tuple[str, bool]] = []
    for part in text.split(","):
        match = re.fullmatch(r"\s*([A-Za-z_]+)(\s+desc)?\s*", part)
        column = _ORDERS.get(match[1]) if match else None
        if not match or column is None or column in dict(columns):
            known = "display_name, create_time, update_time, each with an optional 'desc'"
            raise invalid("order_by", f"Invalid order_by {text!r}: cannot use {part.strip()!r}; known are {known}.")
        columns.append((column, bool(match[2])))
    return [*columns, ("seq", columns[-1][1])]


@functools.lru_cache(maxsize=256)
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern)


def regexp(pattern: str, value: str) -> bool:
    """Be SQLite's ``REGEXP``: whether the pattern matches the whole value."""
    return _compiled(pattern).fullmatch(value) is not None


def _condition(term: re.Match[str], text: str) -> Condition:
    field, operator = term["field"], term["operator"]
    column = _COLUMNS.get(field)
    if column is None:
        raise _bad_filter(text, f"field {field!r} cannot be filtered on")
    quoted = term["double"] if term["double"] is not None else term["single"]
    if operator == "=~":
        return _regex(column, quoted if quoted is not None else term["bare"], text)
    value = re.sub(r"\\(.)", r"\1", quoted) if quoted is not None else term["bare"]
    columns = [column]
    if column == "schedule":  # a schedule goes by its short id too
        value, columns = with_project_number(value), ["schedule", "schedule_id"]
    same = " OR ".join(f"{name} = ?" for name in columns)
    return (f"({same})" if operator == "=" else f"NOT ({same})"), [value] * len(columns)


def _regex(column: str, pattern: str, text: str) -> Condition:
    if column == "id":
        raise _bad_filter(text, "notebookExecutionJob takes = and != only")
    # In a quoted value \" is a quote; every other backslash belongs to the regex.
    pattern = re.sub(r"""\\(["'])""", r"\1", pattern)
    if _NOT_RE2.search(pattern):
        raise _bad_filter(text, f"{pattern!r} is no RE2 regular expression")
    try:
        _compiled(pattern)
    except re.error as error:
        raise _bad_filter(text, f"{pattern!r} is no regular expression: {error}") from None
    if column != "schedule":
        return f"{column} REGEXP ?", [pattern]
    # A schedule goes by its short id too, and by its project's id as by its number.
    either = "(schedule REGEXP ? OR schedule REGEXP ? OR schedule_id REGEXP ?)"
    return either, [pattern, with_project_number(pattern), pattern]


def _bad_filter(text: str, why: str) -> ApiError:
    return invalid("filter", f"Invalid filter {text!r}: {why}.")

"""The list method's ``filter`` and ``orderBy``, as conditions for SQLite.

Documented (discovery document, list method): ``notebookExecutionJob`` takes ``=`` and ``!=``, ``displayName`` and
``schedule`` take ``=``, ``!=`` and a regex ``=~``, in camelCase or snake_case; ``scheduleResourceName`` works
too. Several terms are joined by ``AND`` or by a space, as in AIP-160. Everything else is refused.
Whether a regex must match the whole value or a part of it is not documented; the emulator has a setting for it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from airflow_nbjobs.emulator.errors import ServiceError, invalid
from airflow_nbjobs.emulator.json_format import camel_case
from airflow_nbjobs.emulator.page_tokens import read_order
from airflow_nbjobs.emulator.resources import with_project_number

_TERM = re.compile(
    r"""\s*(?P<field>[A-Za-z_]+)\s*(?P<operator>!=|=~|=)\s*
    (?:"(?P<double>(?:[^"\\]|\\.)*)"|'(?P<single>(?:[^'\\]|\\.)*)'|(?P<bare>[^\s"'()=]+))(?=\s|$)""",
    re.VERBOSE,
)
_COLUMNS: Mapping[str, str] = {
    "notebookExecutionJob": "id",
    "displayName": "display_name",
    "schedule": "schedule",
    "scheduleResourceName": "schedule",
}
_ORDERS: Mapping[str, str] = {"displayName": "display_name", "createTime": "created", "updateTime": "updated"}
# RE2, which Google's services use, has no look-around and no back-reference.
_NOT_RE2 = re.compile(r"\(\?(?:[=!]|<[=!]|P=|\()|(?<!\\)(?:\\\\)*\\[1-9]")

Condition = tuple[str, list[str]]


def parse_filter(text: str) -> Condition:
    """Convert a filter into an SQL condition and its parameters; the empty filter is always true.

    :raises ServiceError: 400 for an unknown field, an operator that the field does not have, or a syntax error.
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
        separator = re.compile(r"\s+AND\s+(?=\S)|\s+(?!AND\b)|$").match(text, term.end())
        if not separator:
            raise _bad_filter(text, f"cannot read {text[term.end() :].strip()!r}")
        position = separator.end()
    return " AND ".join(conditions), parameters


def parse_order(text: str) -> list[tuple[str, bool]]:
    """Convert an ``orderBy`` into columns, each with whether it is descending.

    The last column is the row's number, so that the order is complete.

    :raises ServiceError: 400 as :func:`~airflow_nbjobs.emulator.page_tokens.read_order`.
    """
    columns = [(_ORDERS[field], down) for field, down in read_order(text, _ORDERS)]
    return [*columns, ("seq", columns[-1][1])]


def matches_whole(pattern: str, value: str) -> bool:
    """Implement SQLite's ``REGEXP``: say whether the pattern matches the whole value."""
    return re.fullmatch(pattern, value) is not None


def matches_part(pattern: str, value: str) -> bool:
    """Implement SQLite's ``REGEXP``: say whether the pattern matches a part of the value."""
    return re.search(pattern, value) is not None


def _condition(term: re.Match[str], text: str) -> Condition:
    field, operator = term["field"], term["operator"]
    column = _COLUMNS.get(camel_case(field))
    if column is None:
        raise _bad_filter(text, f"field {field!r} cannot be filtered on")
    quoted = term["double"] if term["double"] is not None else term["single"]
    if operator == "=~":
        return _regex(column, quoted if quoted is not None else term["bare"], text)
    value = re.sub(r"\\(.)", r"\1", quoted) if quoted is not None else term["bare"]
    columns = [column]
    if column == "schedule":  # a schedule is also known by its short id
        value, columns = with_project_number(value), ["schedule", "schedule_id"]
    same = " OR ".join(f"{name} = ?" for name in columns)
    return (f"({same})" if operator == "=" else f"NOT ({same})"), [value] * len(columns)


def _regex(column: str, pattern: str, text: str) -> Condition:
    if column == "id":
        raise _bad_filter(text, "notebookExecutionJob takes = and != only")
    # In a quoted value \" is a quote; every other backslash belongs to the regex.
    pattern = re.sub(r"""\\(["'])""", r"\1", pattern)
    if _NOT_RE2.search(pattern):
        raise _bad_filter(text, f"{pattern!r} is not an RE2 regular expression")
    try:
        re.compile(pattern)
    except re.error as error:
        raise _bad_filter(text, f"{pattern!r} is not a regular expression: {error}") from None
    if column != "schedule":
        return f"{column} REGEXP ?", [pattern]
    # A schedule is also known by its short id, and by its project's id or number.
    either = "(schedule REGEXP ? OR schedule REGEXP ? OR schedule_id REGEXP ?)"
    return either, [pattern, with_project_number(pattern), pattern]


def _bad_filter(text: str, why: str) -> ServiceError:
    return invalid("filter", f"Invalid filter {text!r}: {why}.")

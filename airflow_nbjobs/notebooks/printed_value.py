"""The value in what a tagged cell prints: one value, or text and then one value on the last lines."""

from __future__ import annotations

import re
from typing import Any

from airflow_nbjobs.notebooks.literals import read_value
from airflow_nbjobs.notebooks.plain_text import without_sequences

__all__ = ["NoValueError", "UnclearValueError", "printed_value"]

_WORDS = "true|false|null|True|False|None|nan|NaN|inf|Infinity|NaT|<NA>"
_SCALAR = re.compile(rf"""[-+]?[\d.]|["']|(?:np|numpy|pd|datetime)\.|Timestamp\(|(?:{_WORDS})\s*\Z""")
_OPENINGS, _CLOSINGS = "([{", ")]}"
_TOKENS = re.compile(r"""[^"'()\[\]{}]++|"(?:[^"\\\n]|\\.)*+"|'(?:[^'\\\n]|\\.)*+'|(?P<bracket>[()\[\]{}])""")
_SCANS = 20  # how often the length of the text may be scanned for values


class NoValueError(ValueError):
    """There is no value on the last lines of a text."""


class UnclearValueError(ValueError):
    """It is not clear which value of a text is meant."""


def printed_value(text: str) -> Any:
    """Return the value on the last lines of a text.

    Before it may be lines that are not a dict or a list. A number, a text or ``None`` is only a value when no other
    value is printed.

    :raises NoValueError: when the text does not end with a value.
    :raises UnclearValueError: with the reason, for several values or a value before other text.
    """
    lines = without_sequences(text).split("\n")
    text = "\n".join(line.rstrip("\r").rpartition("\r")[2] for line in lines).strip()
    found: list[tuple[Any, bool, int]] = []  # the value, whether it is a dict or a list, where it ends
    budget, at = _SCANS * len(text) + 1, 0
    while at < len(text):
        line_end = text.find("\n", at) + 1 or len(text) + 1
        start = at + len(text[at:line_end]) - len(text[at:line_end].lstrip())
        end, scanned = _value_end(text, start, line_end - 1, budget)
        budget -= scanned
        at = line_end
        if end is not None and (value := _value(text[start:end])):
            found.append((value[0], text[start] in "[{", end))
            at = end + 1
    return _only_value(found, len(text))


def _only_value(found: list[tuple[Any, bool, int]], length: int) -> Any:
    containers = [end for _, is_container, end in found if is_container]
    if not found or found[-1][2] < length:
        if containers:
            raise UnclearValueError("it prints text after its value: print the value last")
        raise NoValueError
    value, is_container, _ = found[-1]
    if len(containers) > 1 or (not is_container and len(found) > 1):
        raise UnclearValueError(f"it prints {len(found)} values: print one, such as a list of them")
    return value


def _value(text: str) -> tuple[Any] | None:
    try:
        return (read_value(text),)
    except ValueError:
        return None


def _value_end(text: str, start: int, line_end: int, budget: int) -> tuple[int | None, int]:
    """Return where a value ends that begins here, if it ends at the end of a line, and how much was scanned."""
    if text[start : start + 1] not in _OPENINGS or start >= line_end:
        return (line_end if _SCALAR.match(text, start, line_end) else None), 0
    open_brackets, at = "", start
    while at < len(text) and at - start < budget and (token := _TOKENS.match(text, at)):
        at = token.end()
        bracket = token["bracket"]
        if bracket and bracket in _OPENINGS:
            open_brackets += bracket
        elif bracket:
            if _OPENINGS.index(open_brackets[-1]) != _CLOSINGS.index(bracket):
                break
            open_brackets = open_brackets[:-1]
            if not open_brackets:
                rest = text[at : text.find("\n", at) if "\n" in text[at:] else len(text)]
                return (None if rest.strip() else at + len(rest)), at - start
    return None, at - start

"""Filters, orders and pages of the lists of schedules and runtime templates.

A filter is of AIP-160: ``AND``, ``OR`` (which binds more tightly), ``NOT``, ``-``, parentheses, and terms of a field,
an operator and a value. Each list says which fields it knows, and which operators each of them takes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import total_ordering
from typing import Any

from airflow_nbjobs.emulator.database import nanoseconds
from airflow_nbjobs.emulator.errors import ServiceError, invalid
from airflow_nbjobs.emulator.json_format import camel_case
from airflow_nbjobs.emulator.page_tokens import fingerprint, page_size, read_order, read_token, write_token
from airflow_nbjobs.emulator.records import Wire

_TOKEN = re.compile(
    r"""\s*(?:(?P<quoted>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')|(?P<mark>[()]|[!<>]?=|[<>:])|
    (?P<word>[^\s"'()=<>!:]+))""",
    re.VERBOSE,
)
_COMPARISONS: Mapping[str, Callable[[Any, Any], bool]] = {
    "=": lambda one, other: one == other,
    "!=": lambda one, other: one != other,
    "<": lambda one, other: one < other,
    ">": lambda one, other: one > other,
    "<=": lambda one, other: one <= other,
    ">=": lambda one, other: one >= other,
}

Condition = Callable[[Wire], bool]


@dataclass(frozen=True)
class Field:
    """A field that a filter may name.

    :param read: returns its text in a resource; None where it is missing.
    :param operators: those that it takes; ``:*`` for the check whether it is there, ``:`` for one with wildcards.
    :param is_time: whether it is compared as a time.
    """

    read: Callable[[Wire], str | None]
    operators: Sequence[str] = ("=", "!=")
    is_time: bool = False


@dataclass(frozen=True)
class Query:
    """What a list can be asked for.

    :param key: the answer's name for the items.
    :param fields: those that a filter may name, in camelCase.
    :param orders: fields by which the list can be ordered, in camelCase.
    :param has_labels: whether a filter may name ``labels``.
    """

    key: str
    fields: Mapping[str, Field]
    orders: Sequence[str]
    has_labels: bool = False

    def page(self, found: Iterable[Wire], place: str, query: Mapping[str, str]) -> dict[str, Any]:
        """Answer with a page: the newest first without ``orderBy``.

        :param found: all items of the place, in the order of their creation.
        :param place: a token is bound to it.
        :param query: ``filter``, ``orderBy``, ``pageSize`` and ``pageToken``.
        :raises ServiceError: 400 that says what is wrong with one of them.
        """
        wanted, order_by = query.get("filter", ""), query.get("orderBy", "")
        condition, order = self.condition(wanted), read_order(order_by, self.orders)
        size = page_size(query.get("pageSize"))
        numbered = [(number, wire) for number, wire in enumerate(found) if condition(wire)]
        ranked = sorted((_rank(wire, number, order), wire) for number, wire in numbered)
        request = fingerprint(self.key, place, wanted, order_by)
        if token := query.get("pageToken"):
            last = _ranked(read_token(token, request, [str] * len(order) + [int]), order)
            ranked = [item for item in ranked if item[0] > last]
        shown = ranked[:size]
        answer: dict[str, Any] = {self.key: [wire for _, wire in shown]} if shown else {}
        if len(ranked) > size:
            answer["nextPageToken"] = write_token(request, [each.value for each in shown[-1][0]])
        return answer

    def condition(self, text: str) -> Condition:
        """Read a filter; the empty one is always true.

        :raises ServiceError: 400 for an unknown field, an operator that the field does not take, or a syntax error.
        """
        if not text.strip():
            return lambda _: True
        reader = _Reader(text, self._term)
        condition = reader.expression()
        reader.end()
        return condition

    def _term(self, field: str, operator: str, value: str, refuse: Callable[[str], ServiceError]) -> Condition:
        if self.has_labels and (field == "labels" or field.startswith("labels.")):
            return _label_term(field, operator, value, refuse)
        known = self.fields.get(camel_case(field))
        if known is None:
            raise refuse(f"field {field!r} cannot be filtered on")
        if operator == ":" and value == "*" and ":*" in known.operators:
            return lambda wire: known.read(wire) is not None
        if operator not in known.operators:
            raise refuse(f"{field} does not take {operator!r}")
        if operator == ":":
            pattern = re.compile(".*".join(map(re.escape, value.split("*"))), re.DOTALL)
            return lambda wire: pattern.fullmatch(known.read(wire) or "") is not None
        compare = _COMPARISONS[operator]
        if not known.is_time:
            return lambda wire: compare(known.read(wire) or "", value)
        try:
            moment = nanoseconds(value)
        except ValueError as error:
            raise refuse(str(error)) from None
        return lambda wire: (text := known.read(wire)) is not None and compare(nanoseconds(text), moment)


class _Reader:
    """Reads the tokens of a filter into one condition."""

    def __init__(self, text: str, term: Callable[..., Condition]) -> None:
        self._text = text
        self._term = term
        self._tokens: list[tuple[str, str]] = []
        position, text = 0, text.rstrip()
        while position < len(text):
            match = _TOKEN.match(text, position)
            if not match:
                raise self.refusal(f"cannot read {text[position:].strip()!r}")
            kind = match.lastgroup or ""
            self._tokens.append((kind, match[kind]))
            position = match.end()

    def refusal(self, why: str) -> ServiceError:
        return invalid("filter", f"Invalid filter {self._text!r}: {why}.")

    def end(self) -> None:
        if self._tokens:
            raise self.refusal(f"cannot read {self._tokens[0][1]!r}")

    def expression(self) -> Condition:
        parts = [self._factor()]
        while self._tokens and self._tokens[0] != ("mark", ")"):
            self._take("word", "AND")  # a blank between two terms means the same
            parts.append(self._factor())
        return lambda wire: all(part(wire) for part in parts)

    def _factor(self) -> Condition:
        parts = [self._simple()]
        while self._take("word", "OR"):
            parts.append(self._simple())
        return lambda wire: any(part(wire) for part in parts)

    def _simple(self) -> Condition:
        if self._take("word", "NOT"):
            negated = self._simple()
            return lambda wire: not negated(wire)
        if self._take("mark", "("):
            inner = self.expression()
            if not self._take("mark", ")"):
                raise self.refusal("a parenthesis is not closed")
            return inner
        field, is_negated = self._next("word"), False
        if field.startswith("-"):
            field, is_negated = field[1:], True
        if field.endswith(".") and self._tokens and self._tokens[0][0] == "quoted":
            field += self._next("quoted")
        operator = self._next("mark")
        term = self._term(field, operator, self._next("word", "quoted"), self.refusal)
        return (lambda wire: not term(wire)) if is_negated else term

    def _take(self, kind: str, text: str) -> bool:
        if not self._tokens or self._tokens[0] != (kind, text):
            return False
        del self._tokens[0]
        return True

    def _next(self, *kinds: str) -> str:
        if not self._tokens or self._tokens[0][0] not in kinds:
            found = repr(self._tokens[0][1]) if self._tokens else "its end"
            raise self.refusal(f"cannot read {found}")
        kind, text = self._tokens.pop(0)
        return re.sub(r"\\(.)", r"\1", text[1:-1]) if kind == "quoted" else text


def _label_term(field: str, operator: str, value: str, refuse: Callable[[str], ServiceError]) -> Condition:
    key = field.partition(".")[2]
    if operator == ":" and not key:
        return lambda wire: value in wire.get("labels", {})
    if operator == ":" and value == "*":
        return lambda wire: key in wire.get("labels", {})
    if operator == "=" and key:
        return lambda wire: wire.get("labels", {}).get(key) == value
    raise refuse("labels take labels.key=value, labels.key:* and labels:key")


@total_ordering
@dataclass(frozen=True)
class _Ranked:
    """A value in an order, which may be descending."""

    value: Any
    is_descending: bool

    def __lt__(self, other: _Ranked) -> bool:
        return bool(self.value > other.value if self.is_descending else self.value < other.value)


def _rank(wire: Wire, number: int, order: Sequence[tuple[str, bool]]) -> list[_Ranked]:
    # A time is written with as many digits as it needs, so that its text does not sort as it does.
    values = [_sortable(wire.get(field, "")) for field, _ in order]
    return _ranked([*values, number], order)


def _sortable(text: str) -> str:
    try:
        return f"{nanoseconds(text):020}"
    except ValueError:
        return text


def _ranked(values: Sequence[Any], order: Sequence[tuple[str, bool]]) -> list[_Ranked]:
    downs = [down for _, down in order]
    return [_Ranked(value, down) for value, down in zip(values, [*downs, downs[-1]], strict=True)]

"""A cell's outputs as lines of a log: the beginning and the end of long ones, and what has no text by its kind."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from airflow_nbjobs.notebooks.failures import CellFailure, text_of
from airflow_nbjobs.notebooks.plain_text import plain, plain_lines

__all__ = ["Allowance", "CellText", "Gap", "Rest"]

_HEAD, _TAIL = 60, 20
_LINE_COST = 50  # of an empty line, in memory
_SILENT = ("application/scrapbook.scrap.", "application/papermill.record")


class Gap(int):
    """Stands among lines for as many that are left out."""

    def __str__(self) -> str:
        """Return what is shown in their place."""
        return f"… {int(self):,} lines left out …"


class Rest(str):
    """Stands at the end of an output that is not shown whole, for what is left out."""


class Allowance:
    """Characters that the text of all cells of a notebook may still take in memory."""

    def __init__(self, characters: int) -> None:
        self.characters = characters

    def takes(self, line: str) -> bool:
        """Take a line's characters, and return whether there were enough."""
        cost = len(line) + _LINE_COST
        if cost > self.characters:
            return False
        self.characters -= cost
        return True

    def give_back(self, line: str) -> None:
        """Give back what a line took, which is not kept after all."""
        self.characters += len(line) + _LINE_COST


class CellText:
    """The lines that one cell's outputs make, collected output by output.

    Of many lines the first 60 and the last 20 are kept, and the others counted; those of an error are kept beside them.
    """

    def __init__(self, allowance: Allowance) -> None:
        self._allowance = allowance
        self._head: list[str] = []
        self._tail: deque[str] = deque(maxlen=_TAIL)
        self._count = 0
        self._error: list[str | Gap] = []

    def add(self, output: Mapping[str, Any], size: int, *, is_whole: bool) -> None:
        """Take an output that is no error.

        :param size: bytes of it in the file.
        :param is_whole: whether it could be read whole; of one that was not, the beginning is shown.
        """
        self._extend(_lines(output, size))
        if not is_whole:
            self._extend([Rest(f"[the rest of this output, {_amount(size)} in all, is not shown]")])

    def add_failure(self, failure: CellFailure) -> None:
        """Take an error."""
        lines = failure.lines()
        self._error = [*lines] if all(map(self._allowance.takes, lines)) else [Gap(len(lines))]

    def lines(self) -> tuple[str | Gap, ...]:
        """Return the lines, a :class:`Gap` where some are left out."""
        gap = self._count - len(self._head) - len(self._tail)
        return (*self._head, *([Gap(gap)] if gap else []), *self._tail, *self._error)

    def _extend(self, lines: Iterable[str]) -> None:
        for line in lines:
            self._count += 1
            if len(self._head) < _HEAD and self._allowance.takes(line):
                self._head.append(line)
                continue
            if len(self._tail) == _TAIL:
                self._allowance.give_back(self._tail.popleft())
            if self._allowance.takes(line):
                self._tail.append(line)


def _lines(output: Mapping[str, Any], size: int) -> Iterator[str]:
    if output.get("output_type") == "stream":
        yield from plain_lines(text_of(output.get("text")))
        return
    data = output.get("data")
    if not isinstance(data, Mapping):
        yield f"[an output that cannot be read, {_amount(size)}]"
        return
    kinds = [kind for kind in data if not kind.startswith(_SILENT)]
    text = plain_lines(text_of(data.get("text/plain")))
    rich = [kind for kind in kinds if not kind.startswith("text/plain")]
    # The text that stands for an object in memory, "<Figure size 640x480 with 1 Axes>", says less than its kind.
    if text and not (rich and len(text) == 1 and text[0].startswith("<") and text[0].endswith(">")):
        yield from text
    elif rich:
        yield from (f"[{plain(kind)[:100]}, {_amount(_size(data[kind]))}]" for kind in rich[:5])


def _size(value: Any) -> int:
    if text := text_of(value):
        return len(text)
    try:
        return len(json.dumps(value))
    except RecursionError:
        return 0


def _amount(size: int) -> str:
    for unit, least in (("MB", 10**6), ("KB", 10**3)):
        if size >= least:
            return f"{size / least:,.0f} {unit}"
    return f"{size} bytes"

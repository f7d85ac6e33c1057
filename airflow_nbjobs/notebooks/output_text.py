"""Outputs of a cell as lines for a log: the first and last lines, and the MIME type of what has no text."""

from __future__ import annotations

import contextlib
import json
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from airflow_nbjobs.notebooks.failures import CellFailure, text_of
from airflow_nbjobs.notebooks.plain_text import LineBuffer, plain, plain_lines
from airflow_nbjobs.notebooks.sizes import amount

__all__ = ["Allowance", "CellText", "Gap", "Rest"]

_HEAD, _TAIL = 60, 20
_LINE_COST = 50  # of an empty line, in memory
_SILENT = ("application/scrapbook.scrap.", "application/papermill.record")


class Gap(int):
    """Stands for a number of lines that are left out."""

    def __str__(self) -> str:
        """Return the line that is shown in their place."""
        return f"… {int(self):,} lines left out …"


class Rest(str):
    """A line at the end of an output that is not shown whole."""


class Allowance:
    """How much text of all cells of a notebook may still be kept in memory.

    :param characters: the limit.
    """

    def __init__(self, characters: int) -> None:
        self.characters = characters

    def takes(self, line: str) -> bool:
        """Take the room for a line, and return whether there was enough."""
        cost = len(line) + _LINE_COST
        if cost > self.characters:
            return False
        self.characters -= cost
        return True

    def give_back(self, line: str) -> None:
        """Give back the room of a line that is no longer kept."""
        self.characters += len(line) + _LINE_COST


class CellText:
    """Collects the lines of one cell's outputs.

    The pieces of a stream are one text, however the kernel and the service have cut it: a line that is printed in parts
    is one line. The text continues after pieces of the other stream, but not after another output.

    The first 60 and the last 20 lines are kept, the others are counted. The lines of an error are kept in addition.

    :param allowance: shared by all cells of the notebook.
    """

    def __init__(self, allowance: Allowance) -> None:
        self._allowance = allowance
        self._head: list[str] = []
        self._tail: deque[str] = deque(maxlen=_TAIL)
        self._count = 0
        self._error: list[str | Gap] = []
        self._streams: dict[str, LineBuffer] = {}

    def add(self, output: Mapping[str, Any], size: int, *, is_whole: bool) -> None:
        """Add an output that is not an error.

        :param size: bytes of the output in the file.
        :param is_whole: whether all of the output was read; if not, ``output`` is its beginning.
        """
        if output.get("output_type") == "stream":
            name = "stderr" if output.get("name") == "stderr" else "stdout"
            buffer = self._streams.setdefault(name, LineBuffer())
            self._extend(buffer.feed(text_of(output.get("text"))))
        else:
            self._end_streams()
            self._extend(_lines(output, size))
        if not is_whole:
            self._end_streams()
            self._extend([Rest(f"[this output of {amount(size)} is not shown whole]")])

    def add_failure(self, failure: CellFailure) -> None:
        """Add an error."""
        lines = failure.lines()
        self._error = [*lines] if all(map(self._allowance.takes, lines)) else [Gap(len(lines))]

    def lines(self) -> tuple[str | Gap, ...]:
        """Return the lines, with a :class:`Gap` where some are left out."""
        self._end_streams()
        gap = self._count - len(self._head) - len(self._tail)
        return (*self._head, *([Gap(gap)] if gap else []), *self._tail, *self._error)

    def _end_streams(self) -> None:
        for buffer in self._streams.values():
            self._extend(buffer.end())

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
    data = output.get("data")
    if not isinstance(data, Mapping):
        yield f"[an output that cannot be read, {amount(size)}]"
        return
    kinds = [kind for kind in data if not kind.startswith(_SILENT)]
    text = plain_lines(text_of(data.get("text/plain")))
    rich = [kind for kind in kinds if not kind.startswith("text/plain")]
    # The text of an object in memory, "<Figure size 640x480 with 1 Axes>", says less than the MIME type.
    if text and not (rich and len(text) == 1 and text[0].startswith("<") and text[0].endswith(">")):
        yield from text
    elif rich:
        yield from (f"[{plain(kind)[:100]}, {amount(_size(data[kind]))}]" for kind in rich[:5])


def _size(value: Any) -> int:
    with contextlib.suppress(RecursionError):
        return len(text_of(value) or json.dumps(value))
    return 0

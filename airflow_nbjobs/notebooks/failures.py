"""Failures of cells: the exception, its traceback, and the line of the cell that raised it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from airflow_nbjobs.notebooks.plain_text import plain, plain_lines

__all__ = ["CellFailure", "text_of"]

_TRACEBACK_LINES = 60
_SOURCE_CHARACTERS = 20_000
_VALUE_CHARACTERS = 4_000

# How versions of IPython name a frame in a cell. In the excerpt below the frame, "----> 3" marks the line.
_IN_CELL = re.compile(
    r"(?:Cell |Input )In ?\[(?P<count>[0-9]+)\](?:, line (?P<line>[0-9]+))?(?:, in <cell line: [0-9]+>)?"
)
_IN_FILE = re.compile(r"(?:<ipython-input-(?P<count>[0-9]+)-|[/\\]ipython-input-|[/\\]ipykernel_[0-9]+[/\\])")
_ARROW = re.compile(r"^-+> *(?P<line>[0-9]+)")


@dataclass(frozen=True)
class CellFailure:
    """A cell that ended with an error.

    :ivar number: of the cell among the code cells, from 1.
    :ivar source: the cell's code; over 20,000 characters are cut, with a note at the end.
    :ivar line: line of the cell that raised the error, from 1; ``None`` where the traceback does not say.
    :ivar ename: class of the exception.
    :ivar evalue: message of the exception, on one line.
    :ivar traceback: lines without colors and control characters; the middle of a long traceback is left out.
    """

    number: int
    source: str
    line: int | None
    ename: str
    evalue: str
    traceback: tuple[str, ...]

    @classmethod
    def read(cls, number: int, cell: Mapping[str, Any], error: Mapping[str, Any]) -> CellFailure:
        """Return the failure that a cell's ``error`` output describes.

        :param number: of the cell.
        :param cell: the cell's JSON.
        :param error: the output's JSON.
        """
        source = text_of(cell.get("source"))
        frames = error.get("traceback")
        frames = filter(lambda frame: isinstance(frame, str), frames if isinstance(frames, list) else [])
        lines = plain_lines("\n".join(frames))
        return cls(
            number=number,
            source=_cut(source, _SOURCE_CHARACTERS),
            # A cell magic runs the code below it as a separate cell, whose lines are numbered from 1.
            line=None if source.startswith("%%") else _line(lines, cell.get("execution_count"), source.count("\n") + 1),
            ename=plain(text_of(error.get("ename")))[:200] or "error",
            evalue=_cut(plain(text_of(error.get("evalue"))), _VALUE_CHARACTERS),
            traceback=tuple(_shortened(lines)),
        )

    def lines(self) -> tuple[str, ...]:
        """Return the lines of the traceback, or the exception in one line where there is no traceback."""
        return self.traceback or (f"{self.ename}: {self.evalue}",)

    def __str__(self) -> str:
        """Return a sentence without its full stop: the cell, the line, the exception, and the code of the line."""
        error = f"{self.ename}: {self.evalue}" if self.evalue else self.ename
        place = f"cell {self.number}" + (f", line {self.line}" if self.line else "")
        return f"{place}: {error}" + (f" (`{self.code[:200]}`)" if self.code else "")

    @property
    def code(self) -> str:
        """The code of the line that raised the error; empty where the line is not known."""
        lines = plain_lines(self.source)
        return lines[self.line - 1].strip() if self.line and self.line <= len(lines) else ""


def text_of(value: Any) -> str:
    """Return a multi-line string of nbformat, which is a string or a list of strings, as one string."""
    if isinstance(value, list):
        return "".join(part for part in value if isinstance(part, str))
    return value if isinstance(value, str) else ""


def _line(traceback: list[str], execution_count: Any, last_line: int) -> int | None:
    """Return the line in the first frame of this cell: frames of cells that it calls come after it."""
    for index, text in enumerate(traceback):
        frame = _IN_CELL.search(text) or _IN_FILE.search(text)
        if frame is None:
            continue
        count = frame["count"]
        if count is not None and isinstance(execution_count, int) and int(count[:9]) != execution_count:
            continue
        line = frame.groupdict().get("line") or _marked_line(traceback[index + 1 : index + 12])
        if line and 0 < int(line[:9]) <= last_line:
            return int(line)
    return None


def _marked_line(lines: list[str]) -> str | None:
    return next((match["line"] for match in map(_ARROW.match, lines) if match), None)


def _shortened(lines: list[str]) -> list[str]:
    left_out, head = len(lines) - _TRACEBACK_LINES, _TRACEBACK_LINES // 3
    if left_out <= 1:
        return lines
    return [*lines[:head], f"… {left_out:,} lines left out …", *lines[head + left_out :]]


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else f"{text[:limit]}… ({len(text) - limit:,} more characters)"

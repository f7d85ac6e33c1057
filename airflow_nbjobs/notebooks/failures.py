"""What went wrong in a cell: the exception, its traceback, and the line of the cell that it came from."""

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

# How IPython names a frame that is a cell's, by its version; "----> 3" marks the line in the excerpt under it.
_IN_CELL = re.compile(
    r"(?:Cell |Input )In ?\[(?P<count>[0-9]+)\](?:, line (?P<line>[0-9]+))?(?:, in <cell line: [0-9]+>)?"
)
_IN_FILE = re.compile(r"(?:<ipython-input-(?P<count>[0-9]+)-|[/\\]ipython-input-|[/\\]ipykernel_[0-9]+[/\\])")
_ARROW = re.compile(r"^-+> *(?P<line>[0-9]+)")


@dataclass(frozen=True)
class CellFailure:
    """A cell that ended in an error.

    :ivar number: of the cell among the code cells, from 1.
    :ivar source: its code; a very long one is cut, and says so.
    :ivar line: line of the cell that the error came from, from 1; ``None`` where the traceback does not tell it.
    :ivar ename: the exception's class.
    :ivar evalue: its message, on one line.
    :ivar traceback: lines without colours and control characters; the middle of a long one is left out.
    """

    number: int
    source: str
    line: int | None
    ename: str
    evalue: str
    traceback: tuple[str, ...]

    @classmethod
    def read(cls, number: int, cell: Mapping[str, Any], error: Mapping[str, Any]) -> CellFailure:
        """Return the failure that a cell's ``error`` output tells of."""
        source = text_of(cell.get("source"))
        lines = plain_lines("\n".join(_frames(error.get("traceback"))))
        return cls(
            number=number,
            source=_cut(source, _SOURCE_CHARACTERS),
            # A cell magic runs its cell as another one, whose lines are counted anew.
            line=None if source.startswith("%%") else _line(lines, cell.get("execution_count"), source.count("\n") + 1),
            ename=plain(text_of(error.get("ename")))[:200] or "error",
            evalue=_cut(plain(text_of(error.get("evalue"))), _VALUE_CHARACTERS),
            traceback=tuple(_shortened(lines)),
        )

    @property
    def line_source(self) -> str | None:
        """The line of code that the error came from, where that is known."""
        lines = plain_lines(self.source)
        return lines[self.line - 1].strip() if self.line and self.line <= len(lines) else None

    def lines(self) -> tuple[str, ...]:
        """Return the traceback, or the exception alone where there is none."""
        return self.traceback or (f"{self.ename}: {self.evalue}",)

    def __str__(self) -> str:
        """Return one sentence without its full stop: the cell, the exception, the line of code."""
        error = f"{self.ename}: {self.evalue}" if self.evalue else self.ename
        if self.line is None:
            return f"cell {self.number}: {error}"
        code = self.line_source
        return f"cell {self.number}, line {self.line}" + (f" (`{code[:200]}`)" if code else "") + f": {error}"


def text_of(value: Any) -> str:
    """Return a multi-line string of nbformat, which is a string or a list of them."""
    if isinstance(value, list):
        return "".join(part for part in value if isinstance(part, str))
    return value if isinstance(value, str) else ""


def _frames(traceback: Any) -> list[str]:
    return [frame for frame in traceback if isinstance(frame, str)] if isinstance(traceback, list) else []


def _line(traceback: list[str], execution_count: Any, last_line: int) -> int | None:
    """Find the frame that is this cell's: the first, since a function of another cell is called from this one."""
    for index, text in enumerate(traceback):
        frame = _IN_CELL.search(text) or _IN_FILE.search(text)
        if frame is None:
            continue
        count = frame["count"]
        if count is not None and isinstance(execution_count, int) and int(count[:9]) != execution_count:
            continue
        told = frame.groupdict().get("line") or _arrow(traceback[index + 1 : index + 12])
        if told and 0 < int(told[:9]) <= last_line:
            return int(told)
    return None


def _arrow(lines: list[str]) -> str | None:
    return next((match["line"] for match in map(_ARROW.match, lines) if match), None)


def _shortened(lines: list[str]) -> list[str]:
    left_out = len(lines) - _TRACEBACK_LINES
    if left_out <= 1:
        return lines
    head = _TRACEBACK_LINES // 3
    return [*lines[:head], f"… {left_out:,} lines left out …", *lines[head + left_out :]]


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else f"{text[:limit]}… ({len(text) - limit:,} more characters)"

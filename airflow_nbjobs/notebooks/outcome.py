"""An executed notebook, read for what came of it: the cell that failed, the results, the text, the times.

It was written by code that nobody vouches for. Whatever it holds, nothing is raised for it, and reading it takes
bounded memory and time; what could not be read is said.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from airflow_nbjobs.notebooks.cells import is_tagged
from airflow_nbjobs.notebooks.failures import CellFailure
from airflow_nbjobs.notebooks.output_text import Allowance, CellText, Gap
from airflow_nbjobs.notebooks.results import RESULT_TAGS, Results
from airflow_nbjobs.notebooks.scanner import Piece, pieces
from airflow_nbjobs.notebooks.tagged_output import LastOutputs
from airflow_nbjobs.notebooks.timing import Span, cell_span

__all__ = ["RESULT_BYTES", "CellRun", "Outcome", "read_outcome"]

RESULT_BYTES = 48 * 1024
"""The default limit for all results of a notebook: they go through Airflow's database."""

_READING_SECONDS = 120.0
_TEXT_CHARACTERS = 8 * 10**6
_CELLS_KEPT = 10_000


@dataclass(frozen=True)
class CellRun:
    """A code cell, and what it put out.

    :ivar number: among the code cells, from 1.
    :ivar has_run: whether it has an execution count or outputs.
    :ivar seconds: how long it ran; ``None`` where that was not noted.
    :ivar lines: its outputs as harmless lines; :class:`Gap` for lines left out.
    :ivar has_failed: whether one of its outputs is an error.
    """

    number: int
    has_run: bool
    seconds: float | None
    lines: tuple[str | Gap, ...] = field(repr=False)
    has_failed: bool


@dataclass(frozen=True)
class Outcome:
    """What came of an executed notebook.

    :ivar cells: number of code cells.
    :ivar cells_run: how many of them have run.
    :ivar errors: how many of them hold an error.
    :ivar failure: the last of these, which is the one that ended a job that FAILED; errors that a cell's tag
        ``raises-exception`` expects are never it. On a job that SUCCEEDED it was allowed, like the others.
    :ivar seconds: from the first cell's start to the last one's end, or the sum of the cells; ``None`` where not noted.
    :ivar results: the values that the notebook reports, by name; none at all when there is a ``results_problem``.
    :ivar results_problem: why the results cannot be had: too large, no JSON. A value is never cut.
    :ivar notes: what else a reader of the log should know, each on one line.
    :ivar runs: the code cells, at most 10,000 of them.
    :ivar is_whole: whether the notebook was read to its end; if not, the last note says why.
    """

    cells: int
    cells_run: int
    errors: int
    failure: CellFailure | None
    seconds: float | None
    results: Mapping[str, Any]
    results_problem: str | None
    notes: tuple[str, ...]
    runs: tuple[CellRun, ...] = field(repr=False)
    is_whole: bool

    def shows_failure(self) -> bool:
        """Return whether the lines of the cell that failed end with its traceback: there may have been no room."""
        if self.failure is None or self.failure.number > len(self.runs):
            return False
        lines = self.failure.lines()
        return self.runs[self.failure.number - 1].lines[-len(lines) :] == lines


def read_outcome(
    content: bytes | Iterable[bytes], *, result_bytes: int = RESULT_BYTES, seconds: float = _READING_SECONDS
) -> Outcome:
    """Return what came of an executed notebook.

    :param content: its bytes, or chunks of them as they arrive.
    :param result_bytes: how much JSON all results may be together.
    :param seconds: after which the rest is not read.
    """
    reader = _Reader(result_bytes)
    chunks = _chunks(content) if isinstance(content, bytes) else content
    limited = _Timed(chunks, seconds)
    for piece in pieces(limited):
        reader.take(piece)
        if limited.is_over():  # a chunk holds many pieces, and each takes what its cell's author likes
            break
    return reader.outcome(limited.has_run_out)


class _Timed:
    """Chunks, until the time is up."""

    def __init__(self, chunks: Iterable[bytes], seconds: float) -> None:
        self._chunks = chunks
        self._deadline = time.monotonic() + seconds
        self.has_run_out = False

    def __iter__(self) -> Iterator[bytes]:
        for chunk in self._chunks:
            if self.is_over():
                return
            yield chunk

    def is_over(self) -> bool:
        """Return whether the time is up."""
        self.has_run_out = time.monotonic() > self._deadline
        return self.has_run_out


class _Reader:
    """Puts the pieces together, in the order in which they come: a cell after its outputs."""

    def __init__(self, result_bytes: int) -> None:
        self._result_bytes = result_bytes
        self._results = Results(result_bytes)
        self._allowance = Allowance(_TEXT_CHARACTERS)
        self._runs: list[CellRun] = []
        self._cells = self._cells_run = self._errors = 0
        self._failure: CellFailure | None = None
        self._spans = _Spans()
        self._is_whole = False
        self._next_cell()

    def take(self, piece: Piece) -> None:
        """Take the next piece."""
        if piece.kind == "output":
            self._take_output(piece)
        elif piece.kind == "cell":
            if piece.value.get("cell_type") == "code" or self._has_outputs:
                self._take_cell(piece.value)
            self._next_cell()
        else:
            self._is_whole = piece.is_whole and isinstance(piece.value.get("cells"), list)

    def _next_cell(self) -> None:
        self._text = CellText(self._allowance)
        self._last_outputs = LastOutputs(self._result_bytes)
        self._error: Mapping[str, Any] | None = None
        self._has_outputs = False

    def _take_output(self, piece: Piece) -> None:
        self._has_outputs = True
        # Of an error whose message is too large to be read whole the kind may come after it, and be cut off.
        if piece.value.get("output_type") == "error" or (not piece.is_whole and "ename" in piece.value):
            self._error = piece.value
            return
        if self._results.add_output(piece.value, self._cells + 1, is_whole=piece.is_whole):
            self._last_outputs.has_reported = True
        else:
            self._last_outputs.add(piece.value, piece.size, is_whole=piece.is_whole)
        self._text.add(piece.value, piece.size, is_whole=piece.is_whole)

    def _take_cell(self, cell: Mapping[str, Any]) -> None:
        self._cells += 1
        has_run = self._has_outputs or isinstance(cell.get("execution_count"), int)
        self._cells_run += has_run
        metadata = cell.get("metadata")
        span = cell_span(metadata) if isinstance(metadata, Mapping) else None
        if span and has_run:
            self._spans.add(span)
        if self._error is not None:
            failure = CellFailure.read(self._cells, cell, self._error)
            self._text.add_failure(failure)
            self._errors += 1
            if not is_tagged(cell, "raises-exception"):
                self._failure = failure
        elif has_run and is_tagged(cell, *RESULT_TAGS):
            self._results.add_cell(self._last_outputs, self._cells)
        if len(self._runs) < _CELLS_KEPT:
            seconds = span.seconds if span else None
            self._runs.append(CellRun(self._cells, has_run, seconds, self._text.lines(), self._error is not None))

    def outcome(self, has_run_out: bool) -> Outcome:
        """Return what was found, after the last piece."""
        notes = [*self._results.notes()]
        if not self._is_whole:
            why = "reading it took too long" if has_run_out else "it is cut short, or no notebook of nbformat 4"
            notes.append(f"The executed notebook could not be read to its end: {why}.")
        problem = self._results.problem()
        if not self._is_whole and not problem:
            problem = "the executed notebook could not be read to its end"
        return Outcome(
            cells=self._cells,
            cells_run=self._cells_run,
            errors=self._errors,
            failure=self._failure,
            seconds=self._spans.seconds(),
            results={} if problem else self._results.values(),
            results_problem=problem,
            notes=tuple(notes),
            runs=tuple(self._runs),
            is_whole=self._is_whole,
        )


class _Spans:
    """The time of all cells together."""

    def __init__(self) -> None:
        self._first: Span | None = None
        self._last: Span | None = None
        self._sum: float | None = None

    def add(self, span: Span) -> None:
        """Take a cell's."""
        self._sum = (self._sum or 0.0) + span.seconds
        if span.start and (not self._first or not self._first.start or span.start < self._first.start):
            self._first = span
        if span.end and (not self._last or not self._last.end or span.end > self._last.end):
            self._last = span

    def seconds(self) -> float | None:
        """Return the time from the first start to the last end, or the sum where there are no moments."""
        if self._first and self._first.start and self._last and self._last.end:
            return (self._last.end - self._first.start).total_seconds()
        return self._sum


def _chunks(content: bytes) -> Iterator[bytes]:
    return (content[at : at + 2**20] for at in range(0, len(content), 2**20))

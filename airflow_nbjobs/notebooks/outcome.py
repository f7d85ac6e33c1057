"""The outcome of an executed notebook: the cell that failed, the results, the outputs as text, the times.

The notebook can contain anything, since its own code wrote it. Nothing in it raises an exception here, and reading it
takes limited memory and time. The outcome says what could not be read.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from airflow_nbjobs.notebooks.cells import is_tagged, mapping
from airflow_nbjobs.notebooks.failures import CellFailure
from airflow_nbjobs.notebooks.output_text import Allowance, CellText, Gap
from airflow_nbjobs.notebooks.results import RESULT_TAGS, Results
from airflow_nbjobs.notebooks.scanner import Piece, pieces
from airflow_nbjobs.notebooks.tagged_output import TaggedOutput
from airflow_nbjobs.notebooks.this_run import ThisRun
from airflow_nbjobs.notebooks.timing import run_seconds

__all__ = ["RESULT_BYTES", "CellRun", "Outcome", "read_outcome"]

RESULT_BYTES = 48 * 1024
"""The default limit for all results of a notebook: they go through Airflow's database."""

_READING_SECONDS = 120.0
_TEXT_CHARACTERS = 8 * 10**6
_CELLS_KEPT = 10_000


@dataclass(frozen=True)
class CellRun:
    """A code cell with its outputs.

    :ivar number: of the cell among the code cells, from 1; empty code cells count.
    :ivar has_run: whether it has run in this run. Outputs of an earlier run are not read.
    :ivar seconds: how long it ran; ``None`` where the notebook does not say.
    :ivar lines: its outputs as plain lines; a :class:`Gap` stands for lines that are left out.
    :ivar has_failed: whether one of its outputs is an error.
    """

    number: int
    has_run: bool
    seconds: float | None
    lines: tuple[str | Gap, ...] = field(repr=False)
    has_failed: bool


@dataclass(frozen=True)
class Outcome:
    """What an executed notebook says about its run.

    :ivar cells: number of code cells.
    :ivar last_run: number of the last cell that has run in this run; ``None`` when no cell has.
    :ivar errors: number of code cells with an error.
    :ivar failure: the last error, or the first one in a notebook without times; errors in cells tagged
        ``raises-exception`` do not count. It is what ended a job that FAILED. In a job that SUCCEEDED it was allowed,
        like the others.
    :ivar stopped_in: number of the cell in which a job that FAILED has stopped without an error output; ``None``
        otherwise.
    :ivar results: the reported values by name; empty when there is a ``results_problem``.
    :ivar results_problem: why there are no results: they are too large, or one is not JSON.
    :ivar notes: warnings for the log, each on one line.
    :ivar runs: the code cells, at most 10,000.
    :ivar is_whole: whether the notebook was read to its end; if not, the last note says why.
    """

    cells: int
    last_run: int | None
    errors: int
    failure: CellFailure | None
    stopped_in: int | None
    results: Mapping[str, Any]
    results_problem: str | None
    notes: tuple[str, ...]
    runs: tuple[CellRun, ...] = field(repr=False)
    is_whole: bool

    def shows_failure(self) -> bool:
        """Return whether ``runs`` contains the traceback of the failure, for which there may have been no room."""
        if self.failure is None:
            return False
        number, lines = self.failure.number, self.failure.lines()
        return any(run.number == number and run.lines[-len(lines) :] == lines for run in self.runs)


def read_outcome(
    content: bytes | Iterable[bytes],
    *,
    since: datetime | None = None,
    has_failed: bool = False,
    result_bytes: int = RESULT_BYTES,
    seconds: float = _READING_SECONDS,
) -> Outcome:
    """Read the outcome of an executed notebook.

    :param content: the notebook's bytes, or chunks of them as they arrive.
    :param since: when the job was created, with its time zone; cells that ran before are not of this run.
    :param has_failed: whether the job has ended without success.
    :param result_bytes: limit for the JSON of all results together, in bytes.
    :param seconds: after this time the rest of the notebook is not read.
    :returns: an outcome for any content; nothing is raised.
    """
    reader = _Reader(result_bytes, ThisRun(since, has_failed=has_failed))
    deadline = time.monotonic() + seconds
    chunks = [content] if isinstance(content, bytes) else content
    for piece in pieces(itertools.takewhile(lambda _: time.monotonic() <= deadline, chunks)):
        reader.add(piece)
        if time.monotonic() > deadline:  # a chunk contains many pieces, and each can take long
            break
    return reader.outcome(has_failed=has_failed, has_run_out=time.monotonic() > deadline)


class _Reader:
    """Collects pieces in the order in which they come: first the outputs of a cell, then the cell."""

    def __init__(self, result_bytes: int, this_run: ThisRun) -> None:
        self._result_bytes = result_bytes
        self._this_run = this_run
        self._results = Results(result_bytes)
        self._allowance = Allowance(_TEXT_CHARACTERS)
        self._runs: list[CellRun] = []
        self._cells = self._errors = 0
        self._stale: list[int] = []
        self._last_run: int | None = None
        self._failure: CellFailure | None = None
        self._is_whole = False
        self._next_cell()

    def add(self, piece: Piece) -> None:
        """Add the next piece."""
        if piece.kind == "output":
            self._add_output(piece)
        elif piece.kind == "cell":
            is_cut = "cell_type" not in piece.value and self._has_outputs
            if is_cut or piece.value.get("cell_type") == "code":
                self._add_cell(piece.value)
            self._next_cell()
        else:
            self._is_whole = piece.is_whole and isinstance(piece.value.get("cells"), list)

    def _next_cell(self) -> None:
        self._text = CellText(self._allowance)
        self._reported = Results(self._result_bytes)  # by the cell's outputs, which come before its metadata
        self._tagged_output = TaggedOutput(self._result_bytes)
        self._error: Mapping[str, Any] | None = None
        self._has_outputs = False

    def _add_output(self, piece: Piece) -> None:
        self._has_outputs = True
        # An error with a large message may be cut before its output_type.
        if piece.value.get("output_type") == "error" or (not piece.is_whole and "ename" in piece.value):
            self._error = piece.value
            return
        if self._reported.add_output(piece.value, self._cells + 1, is_whole=piece.is_whole):
            self._tagged_output.has_reported = True
        else:
            self._tagged_output.add(piece.value, piece.size, is_whole=piece.is_whole)
        self._text.add(piece.value, piece.size, is_whole=piece.is_whole)

    def _add_cell(self, cell: Mapping[str, Any]) -> None:
        self._cells += 1
        if not self._this_run.includes(cell, has_outputs=self._has_outputs):
            if self._has_outputs and len(self._stale) < _CELLS_KEPT:
                self._stale.append(self._cells)
            self._add_run(CellRun(self._cells, has_run=False, seconds=None, lines=(), has_failed=False))
            return
        self._last_run = self._cells
        self._results.add_all(self._reported)
        if self._error is not None:
            failure = CellFailure.read(self._cells, cell, self._error)
            self._text.add_failure(failure)
            self._errors += 1
            if not is_tagged(cell, "raises-exception"):
                # Without times nothing shows that cells ran after the first error.
                self._failure = failure if self._this_run.has_times else self._failure or failure
                self._this_run.end()
        elif is_tagged(cell, *RESULT_TAGS):
            self._results.add_cell(self._tagged_output, self._cells)
        seconds, has_failed = run_seconds(mapping(cell.get("metadata"))), self._error is not None
        self._add_run(CellRun(self._cells, True, seconds, self._text.lines(), has_failed))

    def _add_run(self, run: CellRun) -> None:
        if len(self._runs) < _CELLS_KEPT:
            self._runs.append(run)

    def outcome(self, *, has_failed: bool, has_run_out: bool) -> Outcome:
        """Return the outcome, after the last piece."""
        notes, problem = [*self._results.notes()], self._results.problem()
        if self._stale:
            count = f"{len(self._stale)} cells hold" if len(self._stale) > 1 else "1 cell holds"
            notes.append(f"{count} outputs of an earlier run, which are left out; the first is cell {self._stale[0]}.")
        if not self._is_whole:
            why = "reading it took too long" if has_run_out else "it is cut short, or not a notebook of nbformat 4"
            notes.append(f"The executed notebook could not be read to its end: {why}.")
            problem = problem or "the executed notebook could not be read to its end"
        return Outcome(
            cells=self._cells,
            last_run=self._last_run,
            errors=self._errors,
            failure=self._failure,
            stopped_in=self._last_run if has_failed and self._failure is None else None,
            results={} if problem else self._results.values(),
            results_problem=problem,
            notes=tuple(notes),
            runs=tuple(self._runs),
            is_whole=self._is_whole,
        )

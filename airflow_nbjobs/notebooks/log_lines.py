"""Lines for a task's log: the outputs of an executed notebook, and the code around an error."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from airflow_nbjobs.durations import in_words
from airflow_nbjobs.notebooks.failures import CellFailure
from airflow_nbjobs.notebooks.outcome import CellRun, Outcome
from airflow_nbjobs.notebooks.output_text import Gap, Rest
from airflow_nbjobs.notebooks.plain_text import plain_lines

__all__ = ["LogOutput", "log_lines", "source_lines", "traceback_lines"]

LogOutput = Literal["errors", "all", "none"]

_CONTEXT_LINES = 3  # before and after the line that failed


def log_lines(outcome: Outcome, log_output: LogOutput, pointer: str | None = None) -> Iterator[str]:
    """Return the outputs of the cells, cell by cell.

    Each line begins with ``[cell 3]``: nothing that a notebook prints can pass for a line of the log itself.

    :param log_output: ``all`` cells, those with ``errors``, or ``none``. Where a job failed without an error output,
        the cell in which it stopped counts as one with an error.
    :param pointer: URI of the executed notebook; it is added where lines are left out.
    """
    if log_output == "none":
        return
    for run in outcome.runs:
        is_last = run.number == outcome.stopped_in
        if run.has_failed or is_last or (log_output == "all" and run.has_run):
            yield from _cell(run, pointer, is_last=is_last)
    left_out = outcome.cells - len(outcome.runs)
    if left_out:
        yield f"… {left_out:,} more cells left out …" + _see(pointer)


def traceback_lines(failure: CellFailure) -> Iterator[str]:
    """Return the traceback of a failure, marked as :func:`log_lines` marks lines."""
    return (f"[cell {failure.number}] | {line}" for line in failure.lines())


def source_lines(failure: CellFailure) -> Iterator[str]:
    """Return the code around the line that failed, or the cell's first lines where that line is not known.

    Nothing is returned where the traceback shows the line already.
    """
    if failure.code and any(line.endswith(failure.code) for line in failure.traceback):
        return
    lines = plain_lines(failure.source)
    first = max(0, (failure.line or 0) - 1 - _CONTEXT_LINES)
    for number, line in enumerate(lines[first : first + 2 * _CONTEXT_LINES + 1], first + 1):
        yield f"[cell {failure.number}] {'->' if number == failure.line else '  '} {number}: {line}".rstrip()


def _cell(run: CellRun, pointer: str | None, *, is_last: bool) -> Iterator[str]:
    mark = f"[cell {run.number}]"
    state, preposition = ("failed", "after") if run.has_failed or is_last else ("ran", "for")
    took = "" if run.seconds is None else f" {preposition} {in_words(run.seconds)}"
    how = ", without an error output" if is_last else ""
    yield f"{mark} {state}{took}{how}" + (":" if run.lines else "")
    for line in run.lines:
        yield f"{mark} | {line}{_see(pointer) if isinstance(line, Gap | Rest) else ''}"


def _see(pointer: str | None) -> str:
    return f" all of it: {pointer}" if pointer else ""

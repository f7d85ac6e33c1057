"""What a notebook printed, as lines for a task's log."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from airflow_nbjobs.notebooks.failures import CellFailure
from airflow_nbjobs.notebooks.outcome import CellRun, Outcome
from airflow_nbjobs.notebooks.output_text import Gap, Rest
from airflow_nbjobs.notebooks.plain_text import plain_lines

__all__ = ["LogOutput", "duration", "log_lines", "source_lines", "traceback_lines"]

LogOutput = Literal["errors", "all", "none"]

_AROUND = 3  # lines before and after the one that an error came from


def log_lines(outcome: Outcome, log_output: LogOutput, pointer: str | None = None) -> Iterator[str]:
    """Return the outputs of the cells, cell by cell.

    Each line begins with ``[cell 3]``, so that nothing that a notebook prints can pass for a line of the log itself.

    :param log_output: ``all`` cells, those with ``errors``, or ``none``.
    :param pointer: where all of it can be found, told where lines are left out: the executed notebook's URI.
    """
    if log_output == "none":
        return
    for run in outcome.runs:
        if run.has_failed or (log_output == "all" and run.has_run):
            yield from _cell(run, pointer)
    left_out = outcome.cells - len(outcome.runs)
    if left_out:
        yield f"… {left_out:,} more cells left out …" + _see(pointer)


def traceback_lines(failure: CellFailure) -> Iterator[str]:
    """Return the traceback of a failure."""
    return (f"[cell {failure.number}] | {line}" for line in failure.lines())


def source_lines(failure: CellFailure) -> Iterator[str]:
    """Return the code around the line that an error came from, or the cell's first lines where that is not known."""
    lines = plain_lines(failure.source)
    first = max(0, (failure.line or 0) - 1 - _AROUND)
    for number, line in enumerate(lines[first : first + 2 * _AROUND + 1], first + 1):
        yield f"[cell {failure.number}] {'->' if number == failure.line else '  '} {number}: {line}".rstrip()


def duration(seconds: float) -> str:
    """Return a time as people say it: ``0.4 s``, ``3 min 12 s``, ``2 h 5 min``."""
    if seconds < 59.5:
        return f"{seconds:.1f} s" if seconds < 9.95 else f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    parts = [(hours, "h"), (minutes, "min"), (rest if not hours else 0, "s")]
    return " ".join(f"{amount} {unit}" for amount, unit in parts if amount)


def _cell(run: CellRun, pointer: str | None) -> Iterator[str]:
    mark = f"[cell {run.number}]"
    state = "failed" if run.has_failed else "ran"
    took = (
        ""
        if run.seconds is None
        else f" after {duration(run.seconds)}"
        if run.has_failed
        else (f" for {duration(run.seconds)}")
    )
    yield f"{mark} {state}{took}" + (":" if run.lines else "")
    for line in run.lines:
        yield f"{mark} | {line}{_see(pointer) if isinstance(line, Gap | Rest) else ''}"


def _see(pointer: str | None) -> str:
    return f" all of it: {pointer}" if pointer else ""

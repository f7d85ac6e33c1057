"""Failures name the cell, its line and the exception."""

from __future__ import annotations

import functools
import json

import nbformat
import pytest

from airflow_nbjobs.notebooks.outcome import read_outcome
from tests.support.building import code, error, execute, notebook, read


@functools.cache
def executed_together(sources: tuple[str, ...]) -> list[nbformat.NotebookNode]:
    """Run many cells in one kernel, since each kernel takes a second or more to start."""
    return execute(*map(code, sources), allow_errors=True).cells


def test_failure_names_cell_line_and_exception() -> None:
    cells = [
        nbformat.v4.new_markdown_cell("# not counted"),
        code("def f(x):\n    return 1 / x"),
        code("a = 1\n\nf(0)\n"),
        code("never = True"),
    ]
    outcome = read(*execute(*cells).cells)
    failure = outcome.failure
    assert failure is not None
    assert (failure.number, failure.line) == (2, 3)
    assert (failure.ename, failure.evalue) == ("ZeroDivisionError", "division by zero")
    assert failure.source == "a = 1\n\nf(0)\n"
    assert "----> 3 f(0)" in failure.traceback
    assert not any("\x1b" in line for line in failure.traceback)
    assert str(failure) == "cell 2, line 3: ZeroDivisionError: division by zero (`f(0)`)"
    assert (outcome.cells, outcome.errors, outcome.is_whole) == (3, 1, True)
    assert [run.has_run for run in outcome.runs] == [True, True, False]


LINES = {
    "x = 1\nx = = 1": (2, "SyntaxError"),
    "import nope": (1, "ModuleNotFoundError"),
    "try:\n    1 / 0\nexcept ZeroDivisionError as error:\n    raise KeyError('k') from error": (4, "KeyError"),
    "raise SystemExit(3)": (None, "SystemExit"),
    "%%time\n\n1 / 0": (None, "ZeroDivisionError"),
}


@pytest.mark.parametrize("source", LINES)
def test_line_is_named_where_the_traceback_says_it(source: str) -> None:
    cell = next(cell for cell in executed_together(tuple(LINES)) if cell.source == source)
    failure = read(code("1"), cell).failure
    assert failure is not None
    assert (failure.number, failure.line, failure.ename) == (2, *LINES[source])


OLD_STYLES = [
    ["<ipython-input-3-0a1b> in <module>", "      1 x = 1", "----> 2 1/0"],
    ["Input In [3], in <cell line: 2>()", "      1 x = 1", "----> 2 1/0"],
    ["/x/ipython-input-12345.py in <cell line: 0>()", "      1 x = 1", "----> 2 1/0"],
    ["/x/ipykernel_77/12345.py in <module>", "      1 x = 1", "----> 2 1/0"],
    ["Cell \x1b[0;32mIn[3], line 2\x1b[0m", "\x1b[1;32m      1\x1b[0m x = 1"],
]


@pytest.mark.parametrize("traceback", OLD_STYLES)
def test_line_is_found_in_tracebacks_of_other_ipython_versions(traceback: list[str]) -> None:
    failure = read(code("x = 1\n1/0", execution_count=3, outputs=[error(traceback=traceback)])).failure
    assert failure is not None
    assert failure.line == 2


def test_error_with_a_huge_message_is_an_error() -> None:
    failed = notebook(code("raise E", outputs=[error("E", "x" * 5_000_000, ["x" * 5_000_000])], execution_count=1))
    outcome = read_outcome(json.dumps(failed, sort_keys=True).encode())
    assert (outcome.errors, outcome.runs[0].has_failed) == (1, True)
    assert str(outcome.failure).startswith("cell 1: E: xxx")

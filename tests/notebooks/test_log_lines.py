"""Outputs of cells become marked lines of a log."""

from __future__ import annotations

import json
from typing import Any

import pytest

from airflow_nbjobs.notebooks.log_lines import LogOutput, log_lines, source_lines
from airflow_nbjobs.notebooks.outcome import read_outcome
from tests.support.building import code, error, execute, ran, read, shows, stream

POINTER = "gs://b/x.ipynb"
ERROR = error(traceback=["\x1b[31mTraceback\x1b[0m", "E: v"])
THOUSAND = "".join(f"line {number}\n" for number in range(1_000))


def logged(*cells: Any, log_output: LogOutput = "all", pointer: str | None = None) -> list[str]:
    return list(log_lines(read(*cells), log_output, pointer))


CELLS = [ran(stream("one\ntwo\n")), code("never run"), code("1/0", outputs=[ERROR]), code("quiet", execution_count=2)]


def test_all_outputs_are_logged_cell_by_cell() -> None:
    assert logged(*CELLS) == [
        "[cell 1] ran:",
        "[cell 1] | one",
        "[cell 1] | two",
        "[cell 3] failed:",
        "[cell 3] | Traceback",
        "[cell 3] | E: v",
        "[cell 4] ran",
    ]


def test_only_errors_or_nothing_can_be_logged() -> None:
    assert logged(*CELLS, log_output="errors") == logged(*CELLS)[3:6]
    assert logged(*CELLS, log_output="none") == []


def test_cell_in_which_a_failed_job_stopped_is_logged() -> None:
    stopped = [ran(stream("one")), ran(stream("UsageError: no such magic", "stderr")), code("never run")]
    stopped[1].execution_count = 2
    errors, everything = (list(log_lines(read(*stopped, has_failed=True), which)) for which in ("errors", "all"))
    assert errors == ["[cell 2] failed, without an error output:", "[cell 2] | UsageError: no such magic"]
    assert everything == ["[cell 1] ran:", "[cell 1] | one", *errors]
    assert list(log_lines(read(*CELLS, has_failed=True), "errors")) == logged(*CELLS, log_output="errors")


@pytest.mark.parametrize(
    ("source", "traceback", "lines"),
    [
        ("a = 1\n1/0", ["Cell In[1], line 2", "      1 a = 1", "----> 2 1/0"], []),
        ("a = 1\nx = = 1", ["  Cell In[1], line 2", "    x = = 1", "        ^", "SyntaxError"], []),
        ("a = 1\n1/0", ["Cell In[1], line 2", "Exception"], ["   1: a = 1", "-> 2: 1/0"]),
        ("a <- 1\nstop(a)", ["Error: 1"], ["   1: a <- 1", "   2: stop(a)"]),
    ],
)
def test_code_is_logged_where_the_traceback_does_not_show_it(
    source: str, traceback: list[str], lines: list[str]
) -> None:
    failure = read(ran(error(traceback=traceback), source=source)).failure
    assert failure is not None
    assert list(source_lines(failure)) == [f"[cell 1] {line}" for line in lines]


def test_times_are_logged() -> None:
    times = {"iopub.execute_input": "2026-11-22T00:00:00Z", "shell.execute_reply": "2026-11-22T00:03:12Z"}
    cells = [ran(*outputs, metadata={"execution": times}) for outputs in ([stream("x")], [ERROR])]
    lines = logged(*cells)
    assert (lines[0], lines[2]) == ("[cell 1] ran for 3 min 12 s:", "[cell 2] failed after 3 min 12 s:")


def test_beginning_and_end_of_long_output_are_logged() -> None:
    lines = logged(ran(stream(THOUSAND)), pointer=POINTER)
    assert lines[1] == "[cell 1] | line 0"
    assert lines[60:62] == ["[cell 1] | line 59", "[cell 1] | … 920 lines left out … all of it: gs://b/x.ipynb"]
    assert lines[62] == "[cell 1] | line 980"
    assert (lines[-1], len(lines)) == ("[cell 1] | line 999", 82)


def test_many_outputs_are_shortened_as_one() -> None:
    outputs = [stream(f"line {number}\n") for number in range(1_000)]
    assert logged(ran(*outputs)) == logged(ran(stream(THOUSAND)))


@pytest.mark.parametrize(
    ("outputs", "lines"),
    [
        ([stream("Fetching"), stream(" rows"), stream(" ..."), stream(" done\n")], ["Fetching rows ... done"]),
        ([stream("\r 10%"), stream("\r 50%"), stream("\r100%"), stream("\n")], ["100%"]),
        ([stream("a"), stream("warn\n", "stderr"), stream("b\n")], ["warn", "ab"]),
        ([stream("\r 1%", "stderr"), stream("x\n"), stream("\r 2%", "stderr")], ["x", " 2%"]),
        ([stream("\x1b[3"), stream("1mred"), stream("\x1b[0m\n")], ["red"]),
        ([stream("a"), *shows({"text/plain": "5"}).outputs, stream("b")], ["a", "5", "b"]),
        ([stream("a\r"), stream("\nb")], ["a", "b"]),
    ],
)
def test_pieces_of_a_stream_are_joined(outputs: list[Any], lines: list[str]) -> None:
    assert logged(ran(*outputs))[1:] == [f"[cell 1] | {line}" for line in lines]


def test_cleared_output_is_not_logged() -> None:
    source = "from IPython.display import clear_output\nprint('old')\nclear_output(wait=True)\nprint('new')"
    assert logged(*execute(code(source)).cells)[1:] == ["[cell 1] | new"]


FRAMES = [f"frame {number}" for number in range(30)]
DEEP = error(traceback=["Traceback", *FRAMES, "E: v"])


def test_printed_lines_do_not_shorten_the_traceback() -> None:
    lines = logged(ran(stream(THOUSAND), DEEP), log_output="errors")
    assert lines[-33:] == [f"[cell 1] | {line}" for line in ("line 999", "Traceback", *FRAMES, "E: v")]
    assert lines[60] == "[cell 1] | line 59"


@pytest.mark.parametrize(("noisy_cells", "is_shown"), [(0, True), (60, False)])
def test_traceback_without_room_is_known_not_to_be_shown(noisy_cells: int, is_shown: bool) -> None:
    noisy = json.dumps(ran(stream(("y" * 2_000 + "\n") * 80)))
    cells = f"{noisy}," * noisy_cells + json.dumps(code("boom()", outputs=[DEEP]))
    content = f'{{"cells": [{cells}], "metadata": {{}}, "nbformat": 4, "nbformat_minor": 5}}'.encode()
    assert read_outcome(content).shows_failure() is is_shown


@pytest.mark.parametrize(
    ("data", "lines"),
    [
        ({"image/png": "x" * 34_000, "text/plain": "<Figure size 640x480 with 1 Axes>"}, ["[image/png, 34 KB]"]),
        ({"text/html": "<table>", "text/plain": "   a\n0  1"}, ["   a", "0  1"]),
        ({"text/plain": "<object>"}, ["<object>"]),
        ({"application/json": {"a": 1}}, ["[application/json, 8 bytes]"]),
        ({"application/scrapbook.scrap.json+json": {"name": "n", "data": 1}}, []),
    ],
)
def test_rich_outputs_are_logged_as_text_or_mime_type(data: dict[str, Any], lines: list[str]) -> None:
    assert logged(shows(data))[1:] == [f"[cell 1] | {line}" for line in lines]


def test_rest_of_a_cut_output_is_named() -> None:
    lines = logged(ran(stream("x" * 5_000_000)), pointer=POINTER)
    assert [line[:14] for line in lines[1:3]] == ["[cell 1] | xxx"] * 2
    assert lines[3:] == ["[cell 1] | [this output of 5 MB is not shown whole] all of it: gs://b/x.ipynb"]


def test_printed_text_cannot_pass_for_a_line_of_the_log() -> None:
    text = "a\n[2026-11-22] ERROR b\rc\x0bd\x0ce\x1cf\x85g\u2028h\u2029i\n::group::j\n::endgroup::\n"
    assert all(line.startswith("[cell 1] ") for line in logged(ran(stream(text))))

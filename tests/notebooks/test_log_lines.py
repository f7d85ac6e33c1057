"""What cells printed becomes lines of a log, and nothing else."""

from __future__ import annotations

import json
import time
from typing import Any

import nbformat
import pytest

from airflow_nbjobs.notebooks.log_lines import LogOutput, duration, log_lines
from airflow_nbjobs.notebooks.outcome import read_outcome
from airflow_nbjobs.notebooks.plain_text import plain, plain_lines
from tests.support.building import code, notebook

ERROR = nbformat.v4.new_output("error", ename="E", evalue="v", traceback=["\x1b[31mTraceback\x1b[0m", "E: v"])


def says(text: str, **fields: Any) -> nbformat.NotebookNode:
    return code("x", outputs=[nbformat.v4.new_output("stream", text=text)], execution_count=1, **fields)


def logged(*cells: nbformat.NotebookNode, log_output: LogOutput = "all", pointer: str | None = None) -> list[str]:
    return list(log_lines(read_outcome(json.dumps(notebook(*cells)).encode()), log_output, pointer))


CELLS = [says("one\ntwo\n"), code("never run"), code("1/0", outputs=[ERROR]), code("quiet", execution_count=2)]


def test_all_outputs_are_told_cell_by_cell() -> None:
    assert logged(*CELLS) == [
        "[cell 1] ran:",
        "[cell 1] | one",
        "[cell 1] | two",
        "[cell 3] failed:",
        "[cell 3] | Traceback",
        "[cell 3] | E: v",
        "[cell 4] ran",
    ]


def test_errors_alone_are_told_on_request_and_nothing_on_another() -> None:
    assert logged(*CELLS, log_output="errors") == logged(*CELLS)[3:6]
    assert logged(*CELLS, log_output="none") == []


def test_times_are_told() -> None:
    metadata = {
        "execution": {"iopub.execute_input": "2026-11-22T00:00:00Z", "shell.execute_reply": "2026-11-22T00:03:12Z"}
    }
    failed = code("1/0", outputs=[ERROR], metadata=metadata)
    assert [logged(says("x", metadata=metadata))[0], logged(failed)[0]] == [
        "[cell 1] ran for 3 min 12 s:",
        "[cell 1] failed after 3 min 12 s:",
    ]


def test_of_long_output_the_beginning_and_the_end_are_told() -> None:
    lines = logged(says("".join(f"line {number}\n" for number in range(1_000))), pointer="gs://b/x.ipynb")
    assert lines[1] == "[cell 1] | line 0"
    assert lines[60:62] == ["[cell 1] | line 59", "[cell 1] | … 920 lines left out … all of it: gs://b/x.ipynb"]
    assert lines[62] == "[cell 1] | line 980"
    assert (lines[-1], len(lines)) == ("[cell 1] | line 999", 82)


FRAMES = [f"frame {number}" for number in range(30)]
DEEP = nbformat.v4.new_output("error", ename="E", evalue="v", traceback=["Traceback", *FRAMES, "E: v"])


def test_what_a_cell_printed_takes_no_line_of_its_traceback() -> None:
    printed = says("".join(f"line {number}\n" for number in range(1_000)))
    printed.outputs.append(DEEP)
    lines = logged(printed, log_output="errors")
    assert lines[-33:] == [f"[cell 1] | {line}" for line in ("line 999", "Traceback", *FRAMES, "E: v")]
    assert lines[60] == "[cell 1] | line 59"


def test_where_there_is_no_room_for_a_traceback_it_is_known_not_to_be_shown() -> None:
    noisy = json.dumps(says(("y" * 2_000 + "\n") * 80))
    for count, is_shown in ((0, True), (60, False)):
        cells = f"{noisy}," * count + json.dumps(code("boom()", outputs=[DEEP]))
        content = f'{{"cells": [{cells}], "metadata": {{}}, "nbformat": 4, "nbformat_minor": 5}}'.encode()
        assert read_outcome(content).shows_failure() is is_shown


def test_many_outputs_are_shortened_as_one() -> None:
    outputs = [nbformat.v4.new_output("stream", text=f"line {number}\n") for number in range(1_000)]
    assert logged(code("x", outputs=outputs)) == logged(says("".join(f"line {number}\n" for number in range(1_000))))


def test_a_long_line_is_shortened() -> None:
    assert logged(says("x" * 5_000))[1] == f"[cell 1] | {'x' * 2_000} … (3,000 more characters)"


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
def test_rich_outputs_are_told_as_text_or_by_their_kind(data: dict[str, Any], lines: list[str]) -> None:
    shown = code("x", outputs=[nbformat.v4.new_output("display_data", data)])
    assert logged(shown)[1:] == [f"[cell 1] | {line}" for line in lines]


def test_an_output_that_is_too_large_to_be_read_says_so() -> None:
    lines = logged(says("x" * 5_000_000), pointer="gs://b/x.ipynb")
    assert lines[1].startswith("[cell 1] | xxx")
    rest = "[cell 1] | [the rest of this output, 5 MB in all, is not shown] all of it: gs://b/x.ipynb"
    assert lines[2:] == [rest]


def test_nothing_that_is_printed_can_pass_for_a_line_of_the_log() -> None:
    text = "a\n[2026-11-22] ERROR b\rc\x0bd\x0ce\x1cf\x85g\u2028h\u2029i\n::group::j\n::endgroup::\n"
    assert all(line.startswith("[cell 1] ") for line in logged(says(text)))
    assert plain_lines(text) == ["a", "c", "d", "e", "f", "g", "h", "i", ": :group::j", ": :endgroup::"]


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("\x1b[1;31mred\x1b[0m \x1b[38;5;208morange\x1b[m", ["red orange"]),
        ("\x1b]0;title\x07a\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\", ["alink"]),
        ("\x1b[2J\x1b[10A\x1b[Kup\x1bcreset\x9b31mred", ["upresetred"]),
        (" 10%\r 50%\r100%\r\n", ["100%"]),
        ("10%\r\r\n20%\r\n", ["10%", "20%"]),
        ("a\r\r\u2028b\r\r", ["a", "b"]),
        ("a\x08\x00\x7f\tb", ["a    b"]),
        ("\u202egnp.exe\u2066\u200b\ufeff", ["gnp.exe"]),
        ("caf\u00e9 \U0001f600 \ud800", ["caf\u00e9 \U0001f600"]),
        ("a\n\nb\n", ["a", "", "b"]),
        ("", []),
        ("\x1b]0;no end", []),
        ("\x1b[", []),
    ],
)
def test_text_is_what_a_terminal_would_show_without_its_controls(text: str, lines: list[str]) -> None:
    assert [line for line in plain_lines(text) if line or "" in lines] == lines


@pytest.mark.parametrize(
    "unit", ["\r", "\r\n", "a\r", "\x1b[", "\x1b]", "\x1b", "\x9b0", "::", "\u202e", "\n"], ids=ascii
)
def test_no_text_takes_longer_than_its_length(unit: str) -> None:
    began = time.monotonic()
    plain_lines(unit * 500_000 + "end")
    assert time.monotonic() - began < 5


def test_text_of_one_line_has_no_line_breaks() -> None:
    assert plain(" a\n\n\x1b[1mb\u2028c ") == "a b c"


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0, "0.0 s"),
        (0.44, "0.4 s"),
        (9.96, "10 s"),
        (59.4, "59 s"),
        (59.9, "1 min"),
        (192, "3 min 12 s"),
        (7500, "2 h 5 min"),
    ],
)
def test_times_are_said_as_people_say_them(seconds: float, said: str) -> None:
    assert duration(seconds) == said

"""An outcome is read from any notebook, executed or hostile, in limited time."""

from __future__ import annotations

import itertools
import json
import unicodedata
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_nbjobs.notebooks.log_lines import log_lines
from airflow_nbjobs.notebooks.outcome import read_outcome
from tests.support.building import code, execute, notebook, read, scrap, stream

LATE = "The executed notebook could not be read to its end: reading it took too long."


def test_expected_error_is_not_a_failure() -> None:
    outcome = read(*execute(code("1 / 0", "raises-exception"), code("2")).cells)
    assert (outcome.errors, outcome.failure) == (1, None)


def test_allowed_errors_are_counted() -> None:
    outcome = read(*execute(code("1 / 0"), code("2"), code("nope"), allow_errors=True).cells)
    assert (outcome.errors, [run.has_run for run in outcome.runs]) == (2, [True] * 3)


def test_empty_code_cells_are_numbered() -> None:
    outcome = read(*execute(code(""), code("# nothing"), code("1 / 0")).cells)
    assert (outcome.failure.number if outcome.failure else None, outcome.last_run, outcome.cells) == (3, 3, 3)


def test_outputs_of_other_than_code_cells_do_not_make_code_cells() -> None:
    odd = {"cell_type": "heading", "outputs": [stream("x")], "source": "", "metadata": {}}
    assert read(odd, code("x", execution_count=1)).cells == 1


def test_failed_job_without_an_error_output_names_the_last_cell() -> None:
    executed = execute(code("x = 1"), code("import os\nos._exit(1)"), code("never = 1")).cells
    outcome = read(*executed, has_failed=True)
    assert (outcome.failure, outcome.stopped_in, outcome.last_run) == (None, 2, 2)
    assert read(code("x"), has_failed=True).stopped_in is None
    assert read(code("x", execution_count=1)).stopped_in is None


def test_truncated_notebook_has_no_results() -> None:
    content = json.dumps(notebook(scrap("number", 1), code("x"))).encode()
    outcome = read_outcome(content[:-20])
    assert (outcome.results, outcome.is_whole) == ({}, False)
    assert outcome.results_problem == "the executed notebook could not be read to its end"
    assert "cut short" in outcome.notes[-1]


def test_reading_ends_at_the_time_limit() -> None:
    outcome = read(code("x", execution_count=1), seconds=-1)
    assert (outcome.cells, outcome.is_whole, outcome.notes) == (0, False, (LATE,))


def read_with_slow_clock(monkeypatch: pytest.MonkeyPatch, chunks: list[bytes]) -> Any:
    """Read with a clock on which each look takes a second."""
    looks = itertools.count()
    clock = SimpleNamespace(monotonic=lambda: float(next(looks)))
    monkeypatch.setattr("airflow_nbjobs.notebooks.outcome.time", clock)
    return read_outcome(chunks)


def test_time_limit_holds_within_a_chunk(monkeypatch: pytest.MonkeyPatch) -> None:
    outputs = b'{"output_type":"stream","name":"stdout","text":["x"]},' * 1_000
    content = b'{"cells":[{"cell_type":"code","source":"1","outputs":[%s{}]}],"nbformat":4}' % outputs
    outcome = read_with_slow_clock(monkeypatch, [content])
    assert (outcome.cells, outcome.notes) == (0, (LATE,))
    assert outcome.results_problem == "the executed notebook could not be read to its end"


def test_default_time_limit_is_two_minutes(monkeypatch: pytest.MonkeyPatch) -> None:
    cell = json.dumps(code("x", execution_count=1)).encode()
    outcome = read_with_slow_clock(monkeypatch, [b'{"cells":[', *[cell + b","] * 200, cell, b'],"nbformat":4}'])
    assert (outcome.is_whole, 50 <= outcome.cells <= 120) == (False, True)


@pytest.mark.parametrize("content", [b"", b"null", b"<html>", b'{"cells": 7}', b"\xff" * 100])
def test_other_content_has_an_empty_outcome(content: bytes) -> None:
    outcome = read_outcome(content)
    assert (outcome.cells, outcome.failure, outcome.is_whole) == (0, None, False)


hostile = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
OUTPUT_KEYS = ["output_type", "data", "text", "name", "ename", "evalue", "traceback", "metadata"]
SPECIAL = ["application/scrapbook.scrap.json+json", "application/papermill.record+json"]
outputs = st.dictionaries(
    st.sampled_from(OUTPUT_KEYS),
    hostile
    | st.sampled_from(["error", "stream", "display_data", "stdout"])
    | st.dictionaries(st.sampled_from(["text/plain", "application/json", "image/png", *SPECIAL]), hostile),
)
cells = st.fixed_dictionaries(
    {"cell_type": st.just("code") | hostile, "metadata": hostile | st.just({"tags": ["result"]})},
    optional={
        "outputs": st.lists(outputs | hostile, max_size=3) | hostile,
        "source": hostile,
        "execution_count": hostile,
    },
)


@given(content=st.fixed_dictionaries({"cells": st.lists(cells, max_size=3) | hostile, "metadata": hostile}))
@settings(max_examples=5 * settings.default.max_examples)
def test_no_notebook_raises_an_error(content: dict[str, Any]) -> None:
    outcome = read_outcome(json.dumps(content).encode())
    json.dumps(dict(outcome.results), allow_nan=False)
    for line in log_lines(outcome, "all"):
        assert not {unicodedata.category(character) for character in line} & {"Cc", "Cf", "Cs", "Zl", "Zp"}

"""What came of an executed notebook: really executed ones, and hostile ones."""

from __future__ import annotations

import contextlib
import functools
import itertools
import json
import subprocess
import sys
import time
import unicodedata
import warnings
from types import SimpleNamespace
from typing import Any

import msgspec
import nbclient
import nbformat
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from IPython.lib.pretty import pretty
from pydantic import JsonValue, TypeAdapter

from airflow_nbjobs.notebooks.log_lines import log_lines
from airflow_nbjobs.notebooks.outcome import Outcome, read_outcome
from tests.support.building import PEAK, code, notebook

try:
    from airflow.sdk.serde import deserialize, serialize
except ImportError:  # Airflow 3.1
    from airflow.serialization.serde import deserialize, serialize

SCRAP = "application/scrapbook.scrap.{}+json"


def run(*cells: nbformat.NotebookNode, allow_errors: bool = False) -> nbformat.NotebookNode:
    """Run cells in a real kernel."""
    ran = notebook(*cells)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # nbclient's and the kernel's own
        with contextlib.suppress(nbclient.exceptions.CellExecutionError):
            nbclient.NotebookClient(ran, kernel_name="python3", allow_errors=allow_errors).execute()
    return ran


def executed(*cells: nbformat.NotebookNode, allow_errors: bool = False) -> Outcome:
    """Run cells in a real kernel and read what came of them."""
    return read_outcome(nbformat.writes(run(*cells, allow_errors=allow_errors)).encode())


@functools.cache
def together(sources: tuple[str, ...]) -> list[nbformat.NotebookNode]:
    """Run many cells in one kernel: each kernel takes a second or more to start."""
    return run(*map(code, sources), allow_errors=True).cells


def read(*cells: dict[str, Any], **options: Any) -> Outcome:
    content = {"cells": list(cells), "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
    return read_outcome(json.dumps(content).encode(), **options)


def shows(data: dict[str, Any], *tags: str, kind: str = "display_data") -> nbformat.NotebookNode:
    return code("x", *tags, outputs=[nbformat.v4.new_output(kind, data)], execution_count=1)


def scrap(name: str, data: Any, encoder: str = "json") -> nbformat.NotebookNode:
    payload = {"name": name, "data": data, "encoder": encoder, "version": 1}
    return shows({SCRAP.format(encoder): payload})


def test_the_cell_that_failed_is_told_by_number_line_and_traceback() -> None:
    outcome = executed(
        nbformat.v4.new_markdown_cell("# not counted"),
        code("def f(x):\n    return 1 / x"),
        code("a = 1\n\nf(0)\n"),
        code("never = True"),
    )
    failure = outcome.failure
    assert failure is not None
    assert (failure.number, failure.line, failure.line_source) == (2, 3, "f(0)")
    assert (failure.ename, failure.evalue) == ("ZeroDivisionError", "division by zero")
    assert failure.source == "a = 1\n\nf(0)\n"
    assert "----> 3 f(0)" in failure.traceback
    assert not any("\x1b" in line for line in failure.traceback)
    assert str(failure) == "cell 2, line 3 (`f(0)`): ZeroDivisionError: division by zero"
    assert (outcome.cells, outcome.cells_run, outcome.errors, outcome.is_whole) == (3, 2, 1, True)


LINES = {
    "x = 1\nx = = 1": (2, "SyntaxError"),
    "import nope": (1, "ModuleNotFoundError"),
    "try:\n    1 / 0\nexcept ZeroDivisionError as error:\n    raise KeyError('k') from error": (4, "KeyError"),
    "raise SystemExit(3)": (None, "SystemExit"),
    "%%time\n\n1 / 0": (None, "ZeroDivisionError"),
}


@pytest.mark.parametrize("source", LINES)
def test_the_line_is_told_where_the_traceback_tells_it(source: str) -> None:
    cell = next(cell for cell in together(tuple(LINES)) if cell.source == source)
    failure = read(code("1"), cell).failure
    assert failure is not None
    assert (failure.number, failure.line, failure.ename) == (2, *LINES[source])


# What other versions of IPython, and Colab, call a cell.
OLD_STYLES = [
    ["<ipython-input-3-0a1b> in <module>", "      1 x = 1", "----> 2 1/0"],
    ["Input In [3], in <cell line: 2>()", "      1 x = 1", "----> 2 1/0"],
    ["/x/ipython-input-12345.py in <cell line: 0>()", "      1 x = 1", "----> 2 1/0"],
    ["/x/ipykernel_77/12345.py in <module>", "      1 x = 1", "----> 2 1/0"],
    ["Cell \x1b[0;32mIn[3], line 2\x1b[0m", "\x1b[1;32m      1\x1b[0m x = 1"],
]


@pytest.mark.parametrize("traceback", OLD_STYLES)
def test_the_line_is_found_in_tracebacks_of_other_versions_and_of_colab(traceback: list[str]) -> None:
    error = nbformat.v4.new_output("error", ename="E", evalue="v", traceback=traceback)
    failure = read(code("x = 1\n1/0", execution_count=3, outputs=[error])).failure
    assert failure is not None
    assert failure.line == 2


def test_an_error_that_a_cell_expects_is_no_failure() -> None:
    outcome = executed(code("1 / 0", "raises-exception"), code("2"))
    assert (outcome.errors, outcome.failure) == (1, None)


def test_allowed_errors_are_counted() -> None:
    outcome = executed(code("1 / 0"), code("2"), code("nope"), allow_errors=True)
    assert (outcome.errors, outcome.cells_run) == (2, 3)


def test_the_time_is_that_of_the_cells() -> None:
    outcome = executed(code("import time\ntime.sleep(0.3)"), code("1"))
    assert outcome.runs[0].seconds is not None
    assert outcome.seconds is not None
    assert 0.3 <= outcome.runs[0].seconds <= outcome.seconds < 30


@pytest.mark.parametrize(
    ("metadata", "seconds"),
    [
        (
            {
                "execution": {
                    "iopub.execute_input": "2026-11-22T00:00:00Z",
                    "shell.execute_reply": "2026-11-22T00:01:01.5Z",
                }
            },
            61.5,
        ),
        ({"papermill": {"start_time": "2026-11-22T00:00:00.000001", "end_time": "2026-11-22T00:00:02.000001"}}, 2.0),
        ({"executionInfo": {"elapsed": 1500, "status": "ok", "timestamp": 1795390089397}}, 1.5),
        ({"execution": {"iopub.execute_input": "later", "shell.execute_reply": 7}}, None),
        (
            {
                "execution": {
                    "iopub.execute_input": "2026-11-22T00:00:09Z",
                    "shell.execute_reply": "2026-11-22T00:00:00",
                }
            },
            None,
        ),
        ({}, None),
    ],
    ids=["nbclient", "papermill", "colab", "not times", "backwards", "nothing"],
)
def test_the_time_is_read_as_each_program_notes_it(metadata: dict[str, Any], seconds: float | None) -> None:
    outcome = read({"cell_type": "code", "execution_count": 1, "metadata": metadata, "source": "x"})
    assert (outcome.runs[0].seconds, outcome.seconds) == (seconds, seconds)


def test_scraps_are_results_as_scrapbook_reads_them() -> None:
    cells = [
        scrap("number", 3), scrap("list", [1, {"a": None}]), scrap("text", "5", "text"), scrap("wrapped", "[1]"),
        scrap("number", 4), shows({"application/papermill.record+json": {"record": {"x": 1}}}),
    ]  # fmt: skip
    scrapbook = pytest.importorskip("scrapbook.models", reason="scrapbook pins what the other tests do without")
    theirs = {name: item.data for name, item in scrapbook.Notebook(notebook(*cells)).scraps.items()}
    assert read(*cells).results == theirs
    assert theirs == {"number": 4, "list": [1, {"a": None}], "text": "5", "wrapped": [1], "record": {"x": 1}}


def test_what_scrapbook_only_displays_is_no_result() -> None:
    shown = shows({"text/plain": "a plot"})
    shown.outputs[0].metadata["scrapbook"] = {"name": "plot", "data": False, "display": True}
    outcome = read(shown)
    assert (outcome.results, outcome.results_problem, outcome.notes) == ({}, None, ())


def test_a_data_frame_is_left_out_with_a_note() -> None:
    outcome = read(scrap("frame", "UEFSMQ==", "pandas"), scrap("number", 1))
    assert outcome.results == {"number": 1}
    assert outcome.notes == ("'frame' of cell 1 is left out: it is encoded as 'pandas', not as JSON",)


RESULTS: dict[str, dict[str, Any]] = {
    "{'rows': 5, 'mean': (1, 2.5)}": {"rows": 5, "mean": [1, 2.5]},
    "5": {"result": 5},
    "'text'": {"result": "text"},
    "[None, True]": {"result": [None, True]},
    "import json\nprint(json.dumps({'rows': 5}))": {"rows": 5},
    "from IPython.display import JSON\nJSON({'rows': 5})": {"rows": 5},
    "print('{\"first\": 1}')\n{'last': 2}": {"last": 2},
    "print('{\"kept\": 1}')\ndisplay(set)\ndisplay(len)": {"kept": 1},
}


@pytest.mark.parametrize("tag", ["xcom", "result"])
@pytest.mark.parametrize("source", RESULTS)
def test_the_output_of_a_tagged_cell_is_a_result(source: str, tag: str) -> None:
    cell = next(cell for cell in together(tuple(RESULTS)) if cell.source == source)
    tagged = code(source, tag, outputs=cell.outputs, execution_count=1)
    assert read(code("{'other': 1}"), tagged).results == RESULTS[source]


UNREADABLE = {
    "": "none of its last outputs is JSON: print json.dumps(...) of what it reports",
    "<Figure>": "its output is no JSON (`<Figure>`): ",
    "{'rows': 3, 'mean': nan}": "its output is no JSON (`{'rows': 3, 'mean': nan}`): ",
    "{'x': np.float64(3.0)}": (
        "its output is no JSON (`{'x': np.float64(3.0)}`): let it be of numbers, text, lists and dicts, float(...) or "
        ".item() of numpy's numbers among them, or print json.dumps(...) of it"
    ),
    "<b\x1b[2J\na>" + "x" * 500: f"its output is no JSON (`<b a>{'x' * 95}…`): ",
    pretty({f"k{number}": number for number in range(1_001)}): "IPython has shortened its output",
    pretty(list(range(1_500))): "IPython has shortened its output: print json.dumps(...) of it",
    pretty({"rows": list(range(1_500))}): "IPython has shortened its output: print json.dumps(...) of it",
}


@pytest.mark.parametrize("text", UNREADABLE, ids=lambda text: text[:20])
def test_output_of_a_tagged_cell_that_cannot_be_read_is_a_problem(text: str) -> None:
    outcome = read(shows({"text/plain": text}, "result"))
    assert outcome.results == {}
    assert str(outcome.results_problem).startswith(f"cell 1 is tagged as a result, and {UNREADABLE[text]}")


def test_what_a_value_says_of_dots_is_no_shortening() -> None:
    assert read(shows({"text/plain": "{'said': 'and so on ...'}"}, "result")).results == {"said": "and so on ..."}


def test_a_tagged_cell_without_output_is_noted() -> None:
    warned = nbformat.v4.new_output("stream", name="stderr", text="careful")
    outcome = read(code("x", "result", outputs=[warned], execution_count=1), code("x", "result"))
    assert (outcome.results, outcome.results_problem) == ({}, None)
    assert outcome.notes == ("cell 1 is tagged as a result, and has no output",)


def test_a_tagged_cell_that_glues_is_neither_a_problem_nor_noted() -> None:
    glued = scrap("rows", 3)
    glued.metadata["tags"] = ["result"]
    outcome = read(glued)
    assert (outcome.results, outcome.results_problem, outcome.notes) == ({"rows": 3}, None, ())


LARGE = {
    "JSON": {"application/json": ["x" * 100_000]},
    "a literal": {"text/plain": f"({'0,' * 50_000})"},
    "JSON over 4 MiB": {"application/json": ["x" * 5_000_000]},
    "a literal over 4 MiB": {"text/plain": f"['{'x' * 5_000_000}']"},
}


@pytest.mark.parametrize("kind", LARGE)
def test_a_value_that_is_too_large_is_not_read_nor_an_earlier_one_taken_for_it(kind: str) -> None:
    small, large = shows({"text/plain": "{'rows': 3}"}, "result"), shows(LARGE[kind])
    small.outputs += large.outputs
    outcome = read(small, result_bytes=10_000)
    assert outcome.results == {}
    assert outcome.results_problem == "cell 1 is tagged as a result, and its output is too large to be one"


@pytest.mark.parametrize("size", [100_000, 5_000_000])
def test_what_is_printed_after_a_value_does_not_hide_it(size: int) -> None:
    cell = shows({"text/plain": "{'rows': 3}"}, "result")
    cell.outputs.append(nbformat.v4.new_output("stream", text="noise " * (size // 6)))
    assert read(cell, result_bytes=10_000).results == {"rows": 3}


HUGE_VALUES = """
import sys, time
from airflow_nbjobs.notebooks.outcome import read_outcome
%s
def chunks():
    yield b'{"cells":['
    for tags in (b'"tags":["result"]', b''):
        yield b'{"cell_type":"code","execution_count":1,"metadata":{%%b},"outputs":[' %% tags
        for number in range(3):
            yield b"," * bool(number) + b'{"data":{"text/plain":"(' + b"0," * 500_000 + b')"},"metadata":{}}'
            yield b',{"data":{"application/json":[' + b"[]," * 200_000 + b'[]]},"metadata":{}}'
        yield b'],"source":"1"},'
    yield b'{"cell_type":"raw"}],"metadata":{},"nbformat":4}'
before = peak()
print(read_outcome(chunks()).results_problem, peak() - before, sep="|")
"""


def test_huge_values_take_bounded_memory_whether_they_are_results_or_not() -> None:
    done = subprocess.run(
        [sys.executable, "-c", HUGE_VALUES % PEAK], capture_output=True, text=True, check=True, timeout=60
    )
    problem, megabytes = done.stdout.split("|")
    assert problem == "cell 1 is tagged as a result, and its output is too large to be one"
    assert int(megabytes) < 120


UNCARRIED = {
    "a number of 70 bits": 2**70,
    "a negative number of 65 bits": -(2**64),
    "half a surrogate pair": "\ud800",
    "NUL": "a\0b",
    "a reserved key": [{"__classname__": "builtins.set"}],
    "a reserved key of before": {"deep": {"__type": "dict", "__var": {}}},
    "100 levels": functools.reduce(lambda inner, _: [inner], range(100), []),
}


@pytest.mark.parametrize("kind", UNCARRIED)
def test_a_value_that_airflow_cannot_carry_is_a_problem(kind: str) -> None:
    outcome = read(scrap("value", UNCARRIED[kind]))
    assert outcome.results == {}
    assert str(outcome.results_problem).startswith("'value' cannot be carried by Airflow: ")


values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**80), 2**80)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(), max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(max_size=5) | st.sampled_from(["__classname__", "__id__"]), inner, max_size=3)
    ),
    max_leaves=5,
)


@given(value=values)
@settings(max_examples=200, deadline=None)
def test_results_are_carried_by_airflow_as_they_are(value: Any) -> None:
    results = dict(read(scrap("value", value)).results)
    carried = msgspec.msgpack.decode(msgspec.msgpack.encode(serialize({"results": results})))
    assert deserialize(TypeAdapter(JsonValue).validate_json(json.dumps(carried))) == {"results": results}


def test_an_error_with_a_huge_message_is_an_error() -> None:
    error = nbformat.v4.new_output("error", ename="ValueError", evalue="x" * 5_000_000, traceback=["x" * 5_000_000])
    failed = notebook(code("raise ValueError(x)", outputs=[error], execution_count=1))
    outcome = read_outcome(json.dumps(failed, sort_keys=True).encode())
    assert (outcome.errors, outcome.runs[0].has_failed) == (1, True)
    assert str(outcome.failure).startswith("cell 1: ValueError: xxx")


def test_results_over_the_limit_are_a_problem_and_no_value_is_cut() -> None:
    outcome = read(scrap("text", "x" * 900, "text"), scrap("more", 1), result_bytes=900)
    assert outcome.results == {}
    assert outcome.results_problem == "the results take 911 bytes of JSON, over the limit of 900"
    assert read(scrap("text", "x" * 900, "text"), scrap("more", 1), result_bytes=911).results_problem is None


@pytest.mark.parametrize(("size", "fits"), [(49_152, True), (49_153, False)])
def test_by_default_48_kib_are_the_limit(size: int, fits: bool) -> None:
    text = "x" * (size - len('t""'))
    assert read(scrap("t", text, "text")).results == ({"t": text} if fits else {})


def test_a_value_that_is_replaced_later_does_not_count() -> None:
    outcome = read(*[scrap("text", "x" * 800, "text") for _ in range(50)], scrap("text", "y", "text"), result_bytes=900)
    assert outcome.results == {"text": "y"}


def test_nan_is_no_result() -> None:
    outcome = read(scrap("mean", float("nan")))
    assert outcome.results == {}
    assert str(outcome.results_problem).startswith("'mean' is no JSON: ")


def test_a_million_results_take_bounded_memory() -> None:
    one = json.dumps(scrap("NUMBER", "x" * 50, "text"))  # made once: nbformat takes its time to validate
    outcome = read(*[json.loads(one.replace("NUMBER", str(each))) for each in range(5_000)], result_bytes=1_000)
    assert "over the limit of 1,000" in str(outcome.results_problem)


def test_results_of_a_notebook_that_was_not_read_to_its_end_are_not_given() -> None:
    content = json.dumps(notebook(scrap("number", 1), code("x"))).encode()
    outcome = read_outcome(content[:-20])
    assert (outcome.results, outcome.is_whole) == ({}, False)
    assert outcome.results_problem == "the executed notebook could not be read to its end"
    assert "cut short" in outcome.notes[-1]


def test_reading_ends_when_its_time_is_up() -> None:
    outcome = read_outcome(json.dumps(notebook(code("x", execution_count=1))).encode(), seconds=-1)
    assert (outcome.cells, outcome.is_whole) == (0, False)
    assert outcome.notes == ("The executed notebook could not be read to its end: reading it took too long.",)


def test_of_a_million_outputs_no_more_are_read_than_there_is_time_for() -> None:
    outputs = b'{"output_type":"stream","name":"stdout","text":["x"]},' * 10**6
    content = b'{"cells":[{"cell_type":"code","source":"1","outputs":[%s{}]}],"nbformat":4}' % outputs
    began = time.monotonic()
    outcome = read_outcome([content], seconds=0.1)  # in one chunk, which alone takes ten seconds
    assert time.monotonic() - began < 5
    assert outcome.notes == ("The executed notebook could not be read to its end: reading it took too long.",)
    assert outcome.results_problem == "the executed notebook could not be read to its end"


def test_by_default_two_minutes_are_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    looks = itertools.count()
    clock = SimpleNamespace(monotonic=lambda: float(next(looks)))  # each look takes a second
    monkeypatch.setattr("airflow_nbjobs.notebooks.outcome.time", clock)
    cell = json.dumps(code("x", execution_count=1)).encode()
    outcome = read_outcome([b'{"cells":[', *[cell + b","] * 200, cell, b'],"nbformat":4}'])
    assert (outcome.is_whole, 50 <= outcome.cells <= 120) == (False, True)


def test_what_is_no_notebook_has_an_outcome_all_the_same() -> None:
    for content in (b"", b"null", b"<html>", b'{"cells": 7}', b"\xff" * 100):
        outcome = read_outcome(content)
        assert (outcome.cells, outcome.failure, outcome.is_whole) == (0, None, False)


hostile = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
OUTPUT_KEYS = ["output_type", "data", "text", "name", "ename", "evalue", "traceback", "metadata"]
KINDS = ["text/plain", "application/json", "image/png", SCRAP.format("json"), "application/papermill.record+json"]
outputs = st.dictionaries(
    st.sampled_from(OUTPUT_KEYS),
    hostile
    | st.sampled_from(["error", "stream", "display_data", "stdout"])
    | st.dictionaries(st.sampled_from(KINDS), hostile),
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
def test_no_notebook_raises_anything(content: dict[str, Any]) -> None:
    outcome = read_outcome(json.dumps(content).encode())
    json.dumps(dict(outcome.results), allow_nan=False)
    for line in log_lines(outcome, "all"):
        assert not {unicodedata.category(character) for character in line} & {"Cc", "Cf", "Cs", "Zl", "Zp"}

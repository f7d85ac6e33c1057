"""Results are what scraps and tagged cells report."""

from __future__ import annotations

import functools
import json
import subprocess
import sys
from typing import Any

import msgspec
import nbformat
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from IPython.lib.pretty import pretty
from pydantic import JsonValue, TypeAdapter

from tests.support.building import PEAK, code, execute, notebook, ran, read, scrap, shows, stream

try:
    from airflow.sdk.serde import deserialize, serialize
except ImportError:  # Airflow 3.1
    from airflow.serialization.serde import deserialize, serialize


def test_scraps_are_results_as_scrapbook_reads_them() -> None:
    cells = [
        scrap("number", 3), scrap("list", [1, {"a": None}]), scrap("text", "5", "text"), scrap("wrapped", "[1]"),
        scrap("number", 4), shows({"application/papermill.record+json": {"record": {"x": 1}}}),
    ]  # fmt: skip
    scrapbook = pytest.importorskip("scrapbook.models", reason="scrapbook pins what the other tests do without")
    theirs = {name: item.data for name, item in scrapbook.Notebook(notebook(*cells)).scraps.items()}
    assert read(*cells).results == theirs
    assert theirs == {"number": 4, "list": [1, {"a": None}], "text": "5", "wrapped": [1], "record": {"x": 1}}


def test_what_scrapbook_only_displays_is_not_a_result() -> None:
    displayed = shows({"text/plain": "a plot"})
    displayed.outputs[0].metadata["scrapbook"] = {"name": "plot", "data": False, "display": True}
    outcome = read(displayed)
    assert (outcome.results, outcome.results_problem, outcome.notes) == ({}, None, ())


def test_data_frame_is_left_out_with_a_note() -> None:
    outcome = read(scrap("frame", "UEFSMQ==", "pandas"), scrap("number", 1))
    assert outcome.results == {"number": 1}
    assert outcome.notes == ("'frame' of cell 1 is left out: it is encoded as 'pandas', not as JSON",)


@functools.cache
def executed(sources: tuple[str, ...]) -> dict[str, list[nbformat.NotebookNode]]:
    """Run many cells in one kernel, and return their outputs."""
    return {cell.source: cell.outputs for cell in execute(*map(code, sources), allow_errors=True).cells}


RESULTS: dict[str, dict[str, Any]] = {
    "{'rows': 5, 'mean': (1, 2.5)}": {"rows": 5, "mean": [1, 2.5]},
    "5": {"result": 5},
    "'text'": {"result": "text"},
    "[None, True]": {"result": [None, True]},
    "import json\nprint(json.dumps({'rows': 5}))": {"rows": 5},
    "from IPython.display import JSON\nJSON({'rows': 5})": {"rows": 5},
    "import numpy\n{'rows': numpy.int64(5), 'mean': numpy.float64(2.5), 'ok': numpy.True_}": {
        "rows": 5,
        "mean": 2.5,
        "ok": True,
    },
    "print({'rows': 5})": {"rows": 5},
    "print('{\"first\": 1}')\n{'last': 2}": {"last": 2},
    "print('{\"kept\": 1}')\ndisplay(set)\ndisplay(len)": {"kept": 1},
}


@pytest.mark.parametrize("tag", ["xcom", "result"])
@pytest.mark.parametrize("source", RESULTS)
def test_output_of_a_tagged_cell_is_a_result(source: str, tag: str) -> None:
    tagged = ran(*executed(tuple(RESULTS))[source], tag=tag)
    assert read(code("{'other': 1}"), tagged).results == RESULTS[source]


UNREADABLE = {
    "": "none of its last outputs is JSON: print json.dumps(...) of the value",
    "<Figure>": "its output is not a value (`<Figure>`): report numbers",
    "<b\x1b[2J\na>" + "x" * 500: f"its output is not a value (`<b a>{'x' * 95}…`): ",
    pretty({f"k{number}": number for number in range(1_001)}): "IPython has shortened its output",
    pretty(list(range(1_500))): "IPython has shortened its output: print json.dumps(...) of the value",
    pretty({"rows": list(range(1_500))}): "IPython has shortened its output: print json.dumps(...) of the value",
    "{1, 2}": "its output is not a value (`{1, 2}`)",
    "array([1, 2])": "its output is not a value (`array([1, 2])`)",
}


@pytest.mark.parametrize("text", UNREADABLE, ids=lambda text: text[:20])
def test_unreadable_output_of_a_tagged_cell_is_a_problem(text: str) -> None:
    outcome = read(shows({"text/plain": text}, "result"))
    assert outcome.results == {}
    assert str(outcome.results_problem).startswith(f"cell 1 is tagged as a result, but {UNREADABLE[text]}")


PRINTED: dict[str, Any] = {
    '{"a": 1,|"b": 2}\n': {"a": 1, "b": 2},
    '{|\n "a": [|\n  1,\n  2,\n  3\n ]\n}|\n': {"a": [1, 2, 3]},
    "loading|\n100 rows\n|{'a': (1, None)}\n": {"a": [1, None]},
}


@pytest.mark.parametrize("text", PRINTED)
def test_result_does_not_depend_on_where_buffers_are_cut(text: str) -> None:
    parts = text.split("|")
    whole, split = [stream("".join(parts))], [stream(part) for part in parts]
    with_warnings = [output for part in split for output in (part, stream("careful\n", "stderr"))]
    for outputs in (whole, split, with_warnings):
        assert read(ran(*outputs, tag="result")).results == PRINTED[text]


def test_value_after_megabytes_of_text_is_a_result_however_it_is_cut() -> None:
    lines = [f"line {number} of a long log\n" for number in range(250_000)]
    for outputs in ([stream("".join(lines))], [stream(part) for part in ("".join(lines[:9]), "".join(lines[9:]))]):
        outputs[-1].text += '{"rows": 3}\n'
        outcome = read(ran(*outputs, tag="result"))
        assert (outcome.results, outcome.results_problem) == ({"rows": 3}, None)


def test_printed_value_over_the_limit_is_a_problem() -> None:
    outputs = [stream(json.dumps(list(range(100_000))))]
    outcome = read(ran(*shows({"text/plain": "{'rows': 3}"}).outputs, *outputs, tag="result"))
    assert outcome.results_problem == "cell 1 is tagged as a result, but its output is too large to be one"


def test_dots_in_a_text_do_not_mean_shortened_output() -> None:
    assert read(shows({"text/plain": "{'said': 'and so on ...'}"}, "result")).results == {"said": "and so on ..."}


def test_tagged_cell_without_output_is_noted() -> None:
    outcome = read(ran(stream("careful", "stderr"), tag="result"), code("x", "result"))
    assert (outcome.results, outcome.results_problem) == ({}, None)
    assert outcome.notes == ("cell 1 is tagged as a result, but has no output",)


def test_tagged_cell_may_glue() -> None:
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
def test_too_large_value_is_a_problem_and_not_replaced_by_an_earlier_one(kind: str) -> None:
    tagged = shows({"text/plain": "{'rows': 3}"}, "result")
    tagged.outputs += shows(LARGE[kind]).outputs
    outcome = read(tagged, result_bytes=10_000)
    assert outcome.results == {}
    assert outcome.results_problem == "cell 1 is tagged as a result, but its output is too large to be one"


@pytest.mark.parametrize("size", [100_000, 5_000_000])
def test_text_after_a_displayed_value_does_not_hide_it(size: int) -> None:
    cell = shows({"text/plain": "{'rows': 3}"}, "result")
    cell.outputs.append(stream("noise " * (size // 6)))
    assert read(cell, result_bytes=10_000).results == {"rows": 3}


HUGE_VALUES = """
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


def test_huge_values_take_limited_memory() -> None:
    done = subprocess.run([sys.executable, "-c", HUGE_VALUES % PEAK], capture_output=True, text=True, check=True)
    problem, megabytes = done.stdout.split("|")
    assert problem == "cell 1 is tagged as a result, but its output is too large to be one"
    assert int(megabytes) < 120


UNCARRIED = {
    "a number of 70 bits": 2**70,
    "a negative number of 65 bits": -(2**64),
    "half a surrogate pair": "\ud800",
    "NUL": "a\0b",
    "a reserved key": [{"__classname__": "builtins.set"}],
    "a reserved key of older versions": {"deep": {"__type": "dict", "__var": {}}},
    "100 levels": json.loads("[" * 101 + "]" * 101),
}


@pytest.mark.parametrize("kind", UNCARRIED)
def test_value_that_airflow_cannot_carry_is_a_problem(kind: str) -> None:
    outcome = read(scrap("value", UNCARRIED[kind]))
    assert outcome.results == {}
    assert str(outcome.results_problem).startswith("'value' cannot be carried by Airflow: ")


scalars = st.none() | st.booleans() | st.integers(-(2**80), 2**80) | st.floats(allow_nan=False, allow_infinity=False)
keys = st.text(max_size=5) | st.sampled_from(["__classname__", "__id__"])
values = st.recursive(
    scalars | st.text(st.characters(), max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3),
    max_leaves=5,
)


@given(value=values)
@settings(max_examples=200, deadline=None)
def test_airflow_carries_results_unchanged(value: Any) -> None:
    results = dict(read(scrap("value", value)).results)
    carried = msgspec.msgpack.decode(msgspec.msgpack.encode(serialize({"results": results})))
    received: Any = TypeAdapter(JsonValue).validate_json(json.dumps(carried))
    assert deserialize(received) == {"results": results}


def test_results_over_the_limit_are_a_problem() -> None:
    cells = scrap("text", "x" * 900, "text"), scrap("more", 1)
    outcome = read(*cells, result_bytes=900)
    assert outcome.results == {}
    assert outcome.results_problem == "the results take 911 bytes of JSON, over the limit of 900"
    assert read(*cells, result_bytes=911).results_problem is None


@pytest.mark.parametrize(("size", "fits"), [(49_152, True), (49_153, False)])
def test_default_limit_is_48_kib(size: int, fits: bool) -> None:
    text = "x" * (size - len('t""'))
    assert read(scrap("t", text, "text")).results == ({"t": text} if fits else {})


def test_replaced_value_does_not_count() -> None:
    outcome = read(*[scrap("text", "x" * 800, "text") for _ in range(50)], scrap("text", "y", "text"), result_bytes=900)
    assert outcome.results == {"text": "y"}


@pytest.mark.parametrize(
    ("cell", "missing"),
    [
        (scrap("mean", float("nan")), "'mean' is nan"),
        (scrap("mean", [1, {"a": float("-inf")}]), "'mean'[1]['a'] is -inf"),
        (shows({"text/plain": "{'rows': 3, 'mean': nan}"}, "result"), "'mean' is nan"),
        (shows({"text/plain": "{'day': <NA>, 'x': 1}"}, "result"), "'day' is NA"),
        (shows({"text/plain": "NaT"}, "result"), "'result' is NaT"),
        (shows({"application/json": [float("nan")]}, "result"), "'result'[0] is nan"),
        # A kernel writes missing values as text.
        (scrap("mean", "nan"), "'mean' is nan"),
        (scrap("rows", {"mean": [1, "np.float64(-inf)"]}), "'rows'['mean'][1] is np.float64(-inf)"),
        (shows({"application/papermill.record+json": {"mean": "inf"}}), "'mean' is inf"),
        (shows({"application/json": {"mean": "nan"}}, "result"), "'mean' is nan"),
        (ran(stream('{"mean": NaN}\n'), tag="result"), "'mean' is nan"),
    ],
)
def test_missing_value_is_refused_with_its_place(cell: Any, missing: str) -> None:
    outcome = read(cell)
    assert outcome.results == {}
    assert outcome.results_problem == f"{missing}, which JSON does not have: report None instead"


@pytest.mark.parametrize("value", ["float('nan')", "-numpy.inf", "numpy.float64('nan')"])
def test_missing_value_that_a_kernel_sends_is_refused(value: str) -> None:
    mime = "application/scrapbook.scrap.json+json"
    payload = f"{{'name': 'mean', 'data': [{value}], 'encoder': 'json', 'version': 1}}"
    (cell,) = execute(code(f"import numpy\ndisplay({{'{mime}': {payload}}}, raw=True)")).cells
    assert str(read(cell).results_problem).startswith("'mean'[0] is ")


def test_thousands_of_results_are_counted_together() -> None:
    one = json.dumps(scrap("NUMBER", "x" * 50, "text"))  # made once, since nbformat validates it
    outcome = read(*[json.loads(one.replace("NUMBER", str(each))) for each in range(5_000)], result_bytes=1_000)
    assert "over the limit of 1,000" in str(outcome.results_problem)

"""Parameters become a cell, as papermill writes it."""

from __future__ import annotations

import datetime as dt
import enum
import keyword
import math
import os
import re
import subprocess
import sys
from typing import Any

import nbformat
import pendulum
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_nbjobs.exceptions import InvalidNotebookJobError
from airflow_nbjobs.notebooks.document import check_parameter_names, declared_parameters, dump, inject, load
from tests.support.building import by_papermill, code, notebook, shown

TAGGED = notebook(code("import os"), code("day = None\nlimit = 3", "parameters"), code("print(day)"))
AGAIN = notebook(
    code("day = 1", "parameters"), code("x"), code("# Parameters\nday = 2\n", "injected-parameters"), code("y")
)
UNTAGGED = notebook(code("print(day)"))

numbers = st.integers() | st.floats(allow_nan=False, allow_infinity=False)
json_values = st.recursive(
    st.none() | st.booleans() | numbers | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)
names = st.from_regex(r"[^\W\d]\w{0,10}", fullmatch=True).filter(
    lambda name: name.isidentifier() and not keyword.iskeyword(name)
)
parameter_sets = st.dictionaries(names, json_values, max_size=5)


def injected_source(parameters: dict[str, Any], kernel: tuple[str, str] | None = ("python3", "python")) -> str:
    return inject(notebook(kernel=kernel), parameters).cells[0].source


@pytest.mark.parametrize("source", [TAGGED, AGAIN, UNTAGGED], ids=["tagged", "again", "untagged"])
@given(parameters=parameter_sets)
def test_the_cells_are_papermills(source: nbformat.NotebookNode, parameters: dict[str, Any]) -> None:
    ours = inject(source, parameters)
    assert shown(ours.cells) == shown(by_papermill(source, parameters).cells)
    nbformat.validate(load(dump(ours), "what was injected"))


@given(parameters=st.dictionaries(st.text() | st.sampled_from(keyword.kwlist), json_values, max_size=5))
@settings(max_examples=60, deadline=None)
def test_the_notebook_stays_valid_whatever_the_names_are(parameters: dict[str, Any]) -> None:
    nbformat.validate(load(dump(inject(TAGGED, parameters)), "what was injected"))


@given(parameters=parameter_sets)
@settings(max_examples=3 * settings.default.max_examples)
def test_the_cell_assigns_values_that_equal_those_given(parameters: dict[str, Any]) -> None:
    namespace: dict[str, Any] = {}
    exec(injected_source(parameters), {"__builtins__": {}}, namespace)  # noqa: S102 - that is what a kernel does
    normal = {name.encode().decode(): value for name, value in parameters.items()}
    by_python = {unicode_name(name): value for name, value in normal.items()}
    assert namespace == by_python


def unicode_name(name: str) -> str:
    """Return a name as Python's parser reads it."""
    import unicodedata

    return unicodedata.normalize("NFKC", name)


@given(parameters=parameter_sets)
def test_the_same_notebook_and_parameters_are_the_same_bytes(parameters: dict[str, Any]) -> None:
    assert dump(inject(TAGGED, parameters)) == dump(inject(TAGGED, parameters))


def test_the_cell_follows_the_parameters_cell() -> None:
    cells = inject(TAGGED, {"day": "2026-11-22", "ok": True}).cells
    assert cells[2].source == '# Parameters\nday = "2026-11-22"\nok = True\n'
    assert cells[2].metadata == {"tags": ["injected-parameters"]}
    assert [cell.id for cell in (*cells[:2], cells[3])] == [cell.id for cell in TAGGED.cells]


def test_the_notebook_that_was_given_stays_as_it_is() -> None:
    before = dump(TAGGED)
    inject(TAGGED, {"day": 1})
    assert dump(TAGGED) == before


def test_injecting_again_replaces_the_older_cell() -> None:
    twice = inject(inject(TAGGED, {"day": 1}), {"day": 2})
    assert twice == inject(TAGGED, {"day": 2})


def test_the_parameters_are_noted_where_scrapbook_looks_for_them() -> None:
    before = notebook(code("x"))
    before.metadata["papermill"] = {"version": "1", "parameters": {"old": 1}}
    before.metadata["colab"] = {"name": "report"}
    after = inject(before, {"day": dt.date(2026, 11, 22)}).metadata
    assert after.papermill == {"version": "1", "parameters": {"day": "2026-11-22"}}
    assert {key: after[key] for key in after if key != "papermill"} == {
        key: before.metadata[key] for key in before.metadata if key != "papermill"
    }


def test_a_notebook_of_an_older_minor_version_keeps_it_and_has_no_ids() -> None:
    older = notebook(code("x", "parameters"))
    older.nbformat_minor = 4
    del older.cells[0]["id"]
    injected = inject(older, {"x": 1})
    assert injected.nbformat_minor == 4
    assert ["id" in cell for cell in injected.cells] == [False, False]
    nbformat.validate(injected)


def test_missing_ids_are_made_of_the_content() -> None:
    broken = notebook(code("same"), code("same"), code("other"))
    for cell in broken.cells:
        del cell["id"]
    first, second = inject(broken, {}), inject(broken, {})
    assert first == second
    assert len({cell.id for cell in first.cells}) == 4
    nbformat.validate(first)


def test_a_notebook_of_version_3_becomes_version_4() -> None:
    old = nbformat.v3.new_notebook(worksheets=[nbformat.v3.new_worksheet(cells=[nbformat.v3.new_code_cell(input="x")])])
    injected = inject(old, {"x": 1})
    assert (injected.nbformat, [cell.source for cell in injected.cells]) == (4, ["# Parameters\nx = 1\n", "x"])
    assert injected == inject(old, {"x": 1})
    nbformat.validate(injected)


def test_dates_become_iso_text_and_sequences_lists() -> None:
    source = injected_source(
        {
            "date": dt.date(2026, 11, 22),
            "moment": dt.datetime(2026, 11, 22, 1, 2, 3, tzinfo=dt.UTC),
            "naive": dt.datetime(2026, 11, 22),  # noqa: DTZ001 - a naive one is written as it is
            "pendulum": pendulum.datetime(2026, 11, 22, tz="Europe/Berlin"),
            "pair": (1, [2, (3,)]),
            "range": range(2),
        }
    )
    assert source.splitlines()[1:] == [
        'date = "2026-11-22"',
        'moment = "2026-11-22T01:02:03+00:00"',
        'naive = "2026-11-22T00:00:00"',
        'pendulum = "2026-11-22T00:00:00+01:00"',
        "pair = [1, [2, [3]]]",
        "range = [0, 1]",
    ]


def test_subclasses_are_what_they_are_subclasses_of() -> None:
    class Colour(enum.StrEnum):
        RED = "red"

    class Size(enum.IntEnum):
        LARGE = 3

    class Odd(str):
        def __str__(self) -> str:
            return '"; import os'

    source = injected_source({"colour": Colour.RED, "size": Size.LARGE, "odd": Odd("plain")})
    assert source == '# Parameters\ncolour = "red"\nsize = 3\nodd = "plain"\n'


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"a": {1, 2}}, r"parameters\['a'\] is of type set"),
        ({"a": {"b": [0, b"x"]}}, r"parameters\['a'\]\['b'\]\[1\] is of type bytes"),
        ({"a": [object()]}, r"parameters\['a'\]\[0\] is of type object"),
        ({"a": {1: 2}}, r"parameters\['a'\] has the key 1"),
        ({1: 2}, r"parameters has the key 1"),
        ({"a": math.nan}, r"parameters\['a'\] is nan"),
        ({"a": [-math.inf]}, r"parameters\['a'\]\[0\] is -inf"),
        ({"a": 10**5000}, r"parameters\['a'\] is a number too long"),
        ({"a": dt.timedelta(1)}, r"parameters\['a'\] is of type timedelta"),
        (["a"], "is no mapping"),
    ],
)
def test_another_value_is_refused_by_its_place(parameters: Any, words: str) -> None:
    with pytest.raises(InvalidNotebookJobError, match=words):
        inject(TAGGED, parameters)


def test_a_value_that_contains_itself_is_refused() -> None:
    endless: list[Any] = []
    endless.append(endless)
    with pytest.raises(InvalidNotebookJobError, match="nested more than 90 levels deep, or contains itself"):
        inject(TAGGED, {"a": endless})


def test_the_deepest_value_that_is_taken_can_be_run() -> None:
    value: list[Any] = []
    for _ in range(89):
        value = [value]
    namespace: dict[str, Any] = {}
    exec(injected_source({"a": value}), namespace)  # noqa: S102 - that is what a kernel does
    assert namespace["a"] == value


TAKEN = ["__debug__", *keyword.kwlist]


@pytest.mark.parametrize("name", ["x; import os", "a b", "", "1x", "a.b", "x\ny", "x=1#", *TAKEN])
def test_what_is_no_name_in_python_is_refused(name: str) -> None:
    why = "is a word that Python keeps for itself" if name in TAKEN else "is not a valid Python variable name"
    with pytest.raises(InvalidNotebookJobError, match=re.escape(f"The parameter {name!r} {why}")):
        check_parameter_names(TAGGED, [name])


@pytest.mark.parametrize(
    ("kernel", "good", "bad"),
    [
        (("ir", "R"), ["a.b", "_x", ".x", "If"], ["a b", "_", "x<-y", ".1", "if", "_TRUE", "NA_real_"]),
        (("bash", "bash"), ["A_1", "if"], ["é", "a.b", "x$(id)", "UID"]),
        (("julia-1.9", "julia"), ["é", "class"], ["a.b", "x;y"]),
    ],
)
def test_names_are_those_of_the_notebooks_language(kernel: tuple[str, str], good: list[str], bad: list[str]) -> None:
    source = notebook(code("x"), kernel=kernel)
    assert shown(inject(source, dict.fromkeys(good, 1)).cells) == shown(
        by_papermill(source, dict.fromkeys(good, 1)).cells
    )
    for name in bad:
        with pytest.raises(InvalidNotebookJobError, match=f"The parameter {re.escape(repr(name))} is .*: use another"):
            check_parameter_names(source, [name])


LANGUAGES = ["R", "scala", "julia", "matlab", ".net-csharp", ".net-fsharp", ".net-powershell", "bash", "python"]


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_language_of_papermill_is_papermills(language: str) -> None:
    parameters = {"a": 1, "b": 1.5, "c": True, "d": "é\"'\n\\", "e": [1, "x"], "big": 2**40}
    source = notebook(code("x", "parameters"), kernel=(f"{language}-kernel", language))
    assert shown(inject(source, parameters).cells) == shown(by_papermill(source, parameters).cells)


@pytest.mark.parametrize(("language", "value"), [("bash", {"x": 1}), (".net-csharp", None)])
def test_a_value_that_a_language_has_no_word_for_is_refused(language: str, value: Any) -> None:
    with pytest.raises(
        InvalidNotebookJobError, match=rf"parameters\['a'\] is or contains .*cannot be written in {language}"
    ):
        inject(notebook(kernel=(language, language)), {"fine": 1, "a": value})


@pytest.mark.parametrize(
    ("language", "value"),
    [("julia", "$(run(`id`))"), ("julia", {"$x": 1}), (".net-powershell", ["$(id)"]), (".net-powershell", '`"; id')],
)
def test_text_that_a_language_would_run_is_refused(language: str, value: Any) -> None:
    with pytest.raises(InvalidNotebookJobError, match=r"parameters\['a'\].* would run or replace"):
        inject(notebook(kernel=(language, language)), {"a": value})


def test_a_notebook_that_names_no_kernel_is_a_python_one() -> None:
    assert injected_source({"a": None}, kernel=None) == "# Parameters\na = None\n"


def test_the_kernel_that_it_will_run_in_decides_before_its_own() -> None:
    injected = inject(notebook(kernel=("python3", "python")), {"a": None}, kernel_name="sparkrkernel")
    assert injected.cells[0].source == "# Parameters\na = NULL\n"


def test_a_language_that_papermill_does_not_know_is_refused() -> None:
    with pytest.raises(InvalidNotebookJobError, match=r"language 'cobol' \(kernel 'cob'\)"):
        inject(notebook(kernel=("cob", "cobol")), {"a": 1})


def test_ten_thousand_parameters_and_huge_text_are_injected() -> None:
    parameters: dict[str, Any] = {f"p{number}": number for number in range(10_000)}
    parameters["text"] = "é\n" * 500_000
    namespace: dict[str, Any] = {}
    exec(injected_source(parameters), {"__builtins__": {}}, namespace)  # noqa: S102 - that is what a kernel does
    assert namespace == parameters
    nbformat.validate(load(dump(inject(TAGGED, parameters)), "what was injected"))


def test_half_a_surrogate_pair_survives() -> None:
    injected = load(dump(inject(TAGGED, {"a": "\ud800"})), "it")
    assert injected.metadata.papermill.parameters == {"a": "\ud800"}


@pytest.mark.parametrize(
    ("source", "declared"),
    [
        (
            "day = 1\nlimit: int = f(x=1)\na, (b, *c) = 1, (2, 3)\nif day:\n    late = 2",
            {"day", "limit", "a", "b", "c", "late"},
        ),
        ("%matplotlib inline\nday = 1", {"day"}),
        ("", set()),
    ],
)
def test_the_declared_parameters_are_what_the_cell_assigns(source: str, declared: set[str]) -> None:
    assert declared_parameters(notebook(code(source, "parameters"))) == declared


def test_what_cannot_be_told_is_not_declared() -> None:
    assert declared_parameters(UNTAGGED) is None
    assert declared_parameters(notebook(code("a = 1", "parameters"), kernel=("ir", "R"))) is None


def test_what_papermill_loads_says_nothing_in_a_tasks_log() -> None:
    program = (
        "import logging; logging.basicConfig(level=logging.INFO)\n"
        "from airflow_nbjobs.notebooks.languages import write_assignments\n"
        "write_assignments({'day': 1}, 'python3', 'python')"
    )
    loud = {**os.environ, "GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT": "true"}
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, env=loud)
    assert done.stderr == ""

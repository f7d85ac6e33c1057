"""Parameters are written in the language of the notebook."""

from __future__ import annotations

import keyword
import os
import re
import subprocess
import sys
import unicodedata
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_nbjobs.exceptions import InvalidNotebookJobError
from airflow_nbjobs.notebooks.document import check_parameter_names, inject
from tests.notebooks.test_document import json_values, names
from tests.support.building import PYTHON, by_papermill, code, notebook, shown


def injected_source(parameters: dict[str, Any], kernel: tuple[str, str] | None = PYTHON) -> str:
    return inject(notebook(kernel=kernel), parameters).cells[0].source


def assigned(parameters: dict[str, Any]) -> dict[str, Any]:
    """Run the injected cell as a kernel does, and return what it assigns."""
    namespace: dict[str, Any] = {}
    exec(injected_source(parameters), {"__builtins__": {}}, namespace)  # noqa: S102
    return namespace


def test_injected_cell_is_the_same_where_black_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    parameters = {"days": ["2026-11-22"] * 20}
    monkeypatch.setitem(sys.modules, "black", None)
    without = injected_source(parameters)
    black = SimpleNamespace(FileMode=lambda **_: None, format_str=lambda source, mode: f"{source}\n# by black")
    monkeypatch.setitem(sys.modules, "black", black)
    assert injected_source(parameters) == without


@given(parameters=st.dictionaries(names, json_values, max_size=5))
@settings(max_examples=3 * settings.default.max_examples)
def test_injected_cell_assigns_the_given_values(parameters: dict[str, Any]) -> None:
    by_parser = {unicodedata.normalize("NFKC", name): value for name, value in parameters.items()}
    assert assigned(parameters) == by_parser


def test_many_parameters_and_huge_text_are_assigned() -> None:
    parameters: dict[str, Any] = {f"p{number}": number for number in range(10_000)}
    parameters["text"] = "é\n" * 500_000
    assert assigned(parameters) == parameters


def test_deepest_value_can_be_assigned() -> None:
    value: list[Any] = []
    for _ in range(89):
        value = [value]
    assert assigned({"a": value}) == {"a": value}


RESERVED = ["__debug__", *keyword.kwlist]


@pytest.mark.parametrize("name", ["x; import os", "a b", "", "1x", "a.b", "x\ny", "x=1#", *RESERVED])
def test_invalid_name_in_python_is_refused(name: str) -> None:
    why = "is a reserved word of Python" if name in RESERVED else "is not a valid Python variable name"
    with pytest.raises(InvalidNotebookJobError, match=re.escape(f"The parameter {name!r} {why}")):
        check_parameter_names(notebook(), [name])


@pytest.mark.parametrize(
    ("kernel", "good", "bad"),
    [
        (("ir", "R"), ["a.b", "_x", ".x", "If"], ["a b", "_", "x<-y", ".1", "if", "_TRUE", "NA_real_"]),
        (("bash", "bash"), ["A_1", "if"], ["é", "a.b", "x$(id)", "UID"]),
        (("julia-1.9", "julia"), ["é", "class"], ["a.b", "x;y"]),
    ],
)
def test_names_are_those_of_the_language(kernel: tuple[str, str], good: list[str], bad: list[str]) -> None:
    source, parameters = notebook(code("x"), kernel=kernel), dict.fromkeys(good, 1)
    check_parameter_names(source, good)
    assert shown(inject(source, parameters).cells) == shown(by_papermill(source, parameters).cells)
    for name in bad:
        with pytest.raises(InvalidNotebookJobError, match=rf"The parameter {re.escape(repr(name))} is .* Use another"):
            check_parameter_names(source, [name])


LANGUAGES = ["R", "scala", "julia", "matlab", ".net-csharp", ".net-fsharp", ".net-powershell", "bash", "python"]


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_language_is_written_as_papermill_writes_it(language: str) -> None:
    parameters = {"a": 1, "b": 1.5, "c": True, "d": "é\"'\n\\", "e": [1, "x"], "big": 2**40}
    source = notebook(code("x", "parameters"), kernel=(f"{language}-kernel", language))
    assert shown(inject(source, parameters).cells) == shown(by_papermill(source, parameters).cells)


@pytest.mark.parametrize(
    ("language", "value", "words"),
    [
        ("bash", {"x": 1}, "is or contains a dict, which cannot be written in bash"),
        (".net-csharp", None, "is or contains None, which cannot be written in .net-csharp"),
        ("julia", "$(run(`id`))", r"contains '\$', and julia would run or replace"),
        ("julia", {"$x": 1}, r"contains '\$', and julia would run or replace"),
        (".net-powershell", ["$(id)"], "contains .* would run or replace"),
        (".net-powershell", '`"; id', "contains .* would run or replace"),
    ],
)
def test_unwritable_value_is_refused(language: str, value: Any, words: str) -> None:
    with pytest.raises(InvalidNotebookJobError, match=rf"parameters\['a'\].* {words}"):
        inject(notebook(kernel=(language, language)), {"fine": 1, "a": value})


def test_notebook_without_a_kernel_is_a_python_notebook() -> None:
    assert injected_source({"a": None}, kernel=None) == "# Parameters\na = None\n"


def test_given_kernel_decides_the_language() -> None:
    injected = inject(notebook(kernel=("python3", "python")), {"a": None}, kernel_name="sparkrkernel")
    assert injected.cells[0].source == "# Parameters\na = NULL\n"


def test_unknown_language_is_refused() -> None:
    with pytest.raises(InvalidNotebookJobError, match=r"language 'cobol' \(kernel 'cob'\)"):
        inject(notebook(kernel=("cob", "cobol")), {"a": 1})


def test_loading_papermill_logs_nothing() -> None:
    program = (
        "import logging; logging.basicConfig(level=logging.INFO)\n"
        "from airflow_nbjobs.notebooks.languages import write_assignments\n"
        "write_assignments({'day': 1}, 'python3', 'python')"
    )
    loud = {**os.environ, "GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT": "true"}
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, env=loud)
    assert done.stderr == ""

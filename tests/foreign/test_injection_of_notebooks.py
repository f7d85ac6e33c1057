"""Parameters go into notebooks of other projects, in many languages, as papermill itself puts them there."""

from __future__ import annotations

import contextlib
import sys
import warnings
from pathlib import Path
from typing import Any
from unittest.mock import patch

import nbformat
import pytest
from papermill.exceptions import PapermillException
from papermill.iorw import load_notebook_node
from papermill.parameterize import parameterize_notebook

from airflow_nbjobs.exceptions import InvalidNotebookJobError
from airflow_nbjobs.notebooks.cells import without_outputs
from airflow_nbjobs.notebooks.document import dump, inject, load, read_file
from airflow_nbjobs.notebooks.languages import kernel_and_language
from tests.support.foreign import SOURCES

PARAMETERS: dict[str, Any] = {
    "msg": 'it\'s "quoted",\nünïcode\\',
    "a": [1, 2.5, True],
    "number": 2**40,
    "foo": {"bar": ["baz", {}]},
}
# A dict has no translation to their languages.
WITHOUT_DICTS = {"bash"}
LANGUAGES = {
    "nbclient": {"python"},
    "papermill": {"python", "R"},
    "jupytext": {".net-csharp", ".net-fsharp", "R", "bash", "julia", "python", "scala"},
}


@pytest.mark.parametrize("package", SOURCES)
def test_papermill_would_inject_the_same(package: str, downloads: Path) -> None:
    paths = sorted((downloads / f"{package}-{SOURCES[package]}").rglob("*.ipynb"))
    problems, languages = [], set()
    for path in paths:
        problem, language = _compared(path)
        problems += [f"{path.name}: {problem}"] if problem else []
        languages |= {language} if language else set()
    assert problems == []
    assert languages == LANGUAGES[package]


def _compared(path: Path) -> tuple[str, str]:
    """Return what is wrong, and the language of the cell; nothing for one that papermill does not know."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the oldest, that their cells have no ids
        theirs = load_notebook_node(str(path))
    source = load(read_file(path), path.name)
    kernel, language = kernel_and_language(source)
    parameters = PARAMETERS
    if language in WITHOUT_DICTS:
        parameters = {name: value for name, value in PARAMETERS.items() if not isinstance(value, dict)}
    try:
        injected = inject(source, parameters)
    except InvalidNotebookJobError as error:
        injected, refusal = None, str(error)
    with patch.dict(sys.modules, black=None):
        expected = _by_papermill(theirs, parameters, kernel, language)
    if expected is None:
        return "" if injected is None else "papermill does not know the language", ""
    if injected is None:
        return refusal, language
    if [_shown(cell) for cell in injected.cells] != [_shown(cell) for cell in expected.cells]:
        return "other cells than papermill's", language
    if nbformat.validator.isvalid(source):  # a few are not, and they run
        for notebook in (injected, without_outputs(injected)):
            nbformat.validate(load(dump(notebook), path.name))
    if any(cell.outputs for cell in without_outputs(injected).cells if cell.cell_type == "code"):
        return "it still has outputs", language
    return "", kernel if kernel.startswith(".net") else language


def _by_papermill(
    notebook: nbformat.NotebookNode, parameters: dict[str, Any], kernel: str, language: str
) -> nbformat.NotebookNode | None:
    try:
        return parameterize_notebook(notebook, parameters)
    except PapermillException:
        return None
    except ValueError:  # it wants to be told the kernel and the language, and finds them in fewer places
        with contextlib.suppress(PapermillException):
            return parameterize_notebook(notebook, parameters, kernel_name=kernel, language=language)
    return None


def _shown(cell: nbformat.NotebookNode) -> tuple[Any, ...]:
    return (cell.cell_type, cell.source, list(cell.metadata.get("tags", [])), cell.get("outputs"))

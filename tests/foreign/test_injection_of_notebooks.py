"""Parameters go into nbclient's and papermill's own notebooks as papermill itself puts them there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nbformat
import pytest
from papermill.iorw import load_notebook_node
from papermill.parameterize import parameterize_notebook

from airflow_nbjobs.exceptions import InvalidNotebookJobError
from airflow_nbjobs.notebooks.document import dump, inject, load, without_outputs
from tests.foreign.test_notebooks import (
    PACKAGES,
    downloads,  # noqa: F401 - a fixture
)

PARAMETERS: dict[str, Any] = {
    "msg": 'it\'s "quoted",\nünïcode\\',
    "a": [1, 2.5, True],
    "number": 2**40,
    "foo": {"bar": ["baz", {}]},
}
# A dict has no translation to their languages.
WITHOUT_DICTS = {"bash"}


@pytest.mark.parametrize("package", PACKAGES)
def test_papermill_would_inject_the_same(package: str, downloads: Path) -> None:  # noqa: F811 - the fixture
    paths = sorted((downloads / f"{package}-{PACKAGES[package]}").rglob("*.ipynb"))
    problems = [f"{path.name}: {problem}" for path in paths if (problem := _problem(path))]
    assert problems == []
    assert len(paths) >= 15


def _problem(path: Path) -> str | None:
    theirs = load_notebook_node(str(path))
    source = load(path.read_bytes(), path.name)
    parameters = PARAMETERS
    if theirs.metadata.get("language_info", theirs.metadata.get("kernelspec", {})).get("name") in WITHOUT_DICTS:
        parameters = {name: value for name, value in PARAMETERS.items() if not isinstance(value, dict)}
    try:
        expected = parameterize_notebook(theirs, parameters)
    except ValueError:  # papermill wants to be told the kernel or the language; here such a notebook is a Python one
        return None if inject(source, parameters) else "nothing was injected"
    try:
        injected = inject(source, parameters)
    except InvalidNotebookJobError as error:
        return str(error)
    if [_shown(cell) for cell in injected.cells] != [_shown(cell) for cell in expected.cells]:
        return "other cells than papermill's"
    for notebook in (injected, without_outputs(injected)):
        nbformat.validate(load(dump(notebook), path.name))
    if any(cell.outputs for cell in without_outputs(injected).cells if cell.cell_type == "code"):
        return "it still has outputs"
    return None


def _shown(cell: nbformat.NotebookNode) -> tuple[Any, ...]:
    return (cell.cell_type, cell.source, list(cell.metadata.get("tags", [])), cell.get("outputs"))

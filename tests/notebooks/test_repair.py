"""Notebooks that nbclient and papermill run are repaired, not refused."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import nbformat
import pytest

from airflow_nbjobs.notebooks.cells import without_outputs
from airflow_nbjobs.notebooks.document import declared_parameters, dump, encode, inject, load, read_file
from airflow_nbjobs.notebooks.repair import repair

CELL: dict[str, Any] = {
    "cell_type": "code", "execution_count": None, "id": "a", "metadata": {}, "outputs": [], "source": "x = 1",
}  # fmt: skip
NOTEBOOK: dict[str, Any] = {"cells": [CELL], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}


def with_cells(*changes: dict[str, Any], **fields: Any) -> dict[str, Any]:
    cells = [{**CELL, "id": f"id{number}", **change} for number, change in enumerate(changes)]
    return copy.deepcopy({**NOTEBOOK, "cells": cells, **fields})


FAULTS: dict[str, dict[str, Any]] = {
    "ids before 4.5": with_cells({}, {"source": "y"}, nbformat_minor=2),
    "an id that is null": with_cells({"id": None}),
    "an id that is text": with_cells({"id": "None"}, {"id": None}),
    "ids that are not valid": with_cells({"id": ""}, {"id": "has space é"}, {"id": "x" * 70}, {"id": 5}, {"id": ["a"]}),
    "ids that are not unique": with_cells({"id": "a"}, {"id": "a"}),
    "metadata that is null": with_cells({"metadata": None}, metadata=None),
    "metadata that is a list": with_cells({"metadata": []}, metadata=[]),
    "tags that are text": with_cells({"metadata": {"tags": "parameters"}}),
    "tags that are null": with_cells({"metadata": {"tags": None}}),
    "tags that are not text": with_cells({"metadata": {"tags": [1, None, {}, "parameters"]}}),
    "source that is null": with_cells({"source": None}),
    "outputs that are null": with_cells({"outputs": None}),
    "outputs that are odd": with_cells({"outputs": [None, 5, {"output_type": "display_data", "data": None}]}),
    "an odd count": with_cells({"execution_count": "7"}),
    "attachments that are null": {
        **NOTEBOOK,
        "cells": [{"cell_type": "markdown", "id": "a", "metadata": {}, "source": "x", "attachments": None}],
    },
    "a minor version that is null": with_cells({}, nbformat_minor=None),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_notebook_with_a_fault_is_repaired_and_valid(fault: str, tmp_path: Path) -> None:
    content = json.dumps(FAULTS[fault]).encode()
    (tmp_path / "a.ipynb").write_bytes(content)
    for sent in (read_file(tmp_path / "a.ipynb"), encode(FAULTS[fault], "It"), dump(inject(load(content, "It"), {}))):
        assert without_outputs(load(sent, "It")).cells
        nbformat.validate(json.loads(sent))


def test_valid_notebook_is_not_changed() -> None:
    valid = with_cells({}, {"metadata": {"tags": ["parameters"]}, "execution_count": 3})
    before = copy.deepcopy(valid)
    assert not repair(valid)
    assert valid == before


def test_unknown_cell_type_is_kept() -> None:
    assert [cell.cell_type for cell in load(encode(with_cells({"cell_type": "sql"}), "It"), "It").cells] == ["sql"]


def test_tag_that_is_text_is_a_tag() -> None:
    assert declared_parameters(load(json.dumps(FAULTS["tags that are text"]).encode(), "It")) == {"x"}


def test_valid_ids_are_kept() -> None:
    read = load(encode(with_cells({"id": "a"}, {"id": None}, {"id": "a"}, {"id": "b"}), "It"), "It")
    ids = [cell.id for cell in read.cells]
    assert (ids[0], ids[3], len(set(ids))) == ("a", "b", 4)

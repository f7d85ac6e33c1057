"""Traces of earlier runs are left out."""

from __future__ import annotations

import nbformat

from airflow_nbjobs.notebooks.cells import without_outputs
from airflow_nbjobs.notebooks.document import dump
from tests.support.building import notebook, ran, stream


def test_traces_of_earlier_runs_are_left_out() -> None:
    executed = notebook(ran(stream("secret"), tag="keep"), nbformat.v4.new_markdown_cell("text"))
    executed.cells[0].metadata |= {
        "execution": {"iopub.execute_input": "2026-11-22T00:00:00Z"},
        "executionInfo": {"user": {"displayName": "A Person"}},
        "papermill": {"duration": 1},
        "outputId": "1",
    }
    executed.metadata["widgets"] = {"application/vnd.jupyter.widget-state+json": {}}
    executed.metadata["colab"] = {"provenance": []}
    before = dump(executed)
    bare = without_outputs(executed)
    assert (bare.cells[0].outputs, bare.cells[0].execution_count) == ([], None)
    assert bare.cells[0].metadata == {"tags": ["keep"]}
    assert bare.cells[1] == executed.cells[1]
    assert bare.metadata.keys() == {"kernelspec", "colab"}
    assert bare.cells[0].id == executed.cells[0].id
    assert dump(executed) == before
    nbformat.validate(bare)

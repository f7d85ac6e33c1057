"""The page of a notebook, and the facts beside it, as the notebook tab asks for them."""

from __future__ import annotations

import nbformat
import pytest

from airflow_nbjobs.notebooks.exporter import export
from airflow_nbjobs.notebooks.page import Page, read_page
from airflow_nbjobs.notebooks.page_files import facts, without_outputs
from airflow_nbjobs.notebooks.sizes import Limits
from bench import rendering
from tests.support.building import code, notebook, stream


def page_of(*cells):
    return read_page(nbformat.v4.writes(notebook(*cells)).encode(), Limits(), None)


def html_of(page: Page) -> str:
    return export(page, theme="light", title="", seconds=60.0)


TIMES = {"iopub.execute_input": "2026-11-30T00:00:00Z", "shell.execute_reply": "2026-11-30T00:00:01Z"}


@pytest.mark.parametrize(
    ("fields", "has_run"),
    [
        ({}, False),
        ({"execution_count": 1}, True),
        ({"outputs": [stream("shown")]}, True),
        ({"metadata": {"execution": TIMES}}, True),
    ],
    ids=["nothing", "count", "output", "times"],
)
def test_list_and_page_agree_on_which_cells_ran(fields, has_run):
    page = page_of(code("x", **fields))
    assert [cell["has_run"] for cell in facts(page)["cells"]] == [has_run]
    assert ("did not run" in html_of(page)) is not has_run


def test_a_source_notebook_marks_no_cell_as_not_run():
    page = without_outputs(page_of(code("x", outputs=[stream("of an earlier run")], execution_count=1), code("y")))
    assert [cell["has_run"] for cell in facts(page)["cells"]] == [False, False]
    html = html_of(page)
    assert "did not run" not in html
    assert "earlier run" not in html


def test_the_benchmark_renders_as_the_product_does(tmp_path):
    file = tmp_path / "notebook.ipynb"
    nbformat.write(notebook(code("x", outputs=[stream("shown")])), file)
    assert rendering._ours(file, tmp_path)["seconds"] > 0
    assert "<pre>shown</pre>" in (tmp_path / "page.html").read_text()

"""Notebooks as HTML documents: what is shown, where, and how much of it."""

from __future__ import annotations

import nbformat
import pytest

from airflow_nbjobs.exceptions import RenderError
from airflow_nbjobs.notebooks.document import dump
from airflow_nbjobs.notebooks.render import to_html

v4 = nbformat.v4


def page(*cells, **options):
    return to_html(dump(v4.new_notebook(cells=list(cells))), **options)


def failing_cell(name="ZeroDivisionError", value="division by zero", **fields):
    error = v4.new_output("error", ename=name, evalue=value, traceback=["Traceback", f"{name}: {value}"])
    return v4.new_code_cell("1 / 0", execution_count=2, outputs=[error], **fields)


def test_the_failing_cell_is_marked_and_linked():
    html = page(v4.new_code_cell("1"), failing_cell())
    assert '<a href="#failed-cell">Cell 2 failed</a>' in html
    assert html.count('id="failed-cell"') == 1


@pytest.mark.parametrize("content", [b"", b"{}", b"[]", b"\x89PNG", b'{"cells": 3, "nbformat": 4}'])
def test_what_is_not_a_notebook_is_refused(content):
    with pytest.raises(RenderError, match="not"):
        to_html(content)

"""Short constructors of notebooks and outputs, and readers of outcomes."""

from __future__ import annotations

import contextlib
import copy
import json
import sys
import warnings
from typing import Any
from unittest.mock import patch

import nbclient
import nbformat
from nbformat import NotebookNode
from papermill.parameterize import parameterize_notebook

from airflow_nbjobs.notebooks.outcome import Outcome, read_outcome

PYTHON = ("python3", "python")


def code(source: str, *tags: str, **fields: Any) -> NotebookNode:
    cell = nbformat.v4.new_code_cell(source, **fields)
    if tags:
        cell.metadata["tags"] = list(tags)
    return cell


def notebook(*cells: NotebookNode, kernel: tuple[str, str] | None = PYTHON) -> NotebookNode:
    metadata = {}
    if kernel:
        metadata = {"kernelspec": {"name": kernel[0], "display_name": kernel[0], "language": kernel[1]}}
    return nbformat.v4.new_notebook(cells=list(cells), metadata=metadata)


def stream(text: str, name: str = "stdout") -> NotebookNode:
    return nbformat.v4.new_output("stream", name=name, text=text)


def error(ename: str = "E", evalue: str = "v", traceback: list[str] | None = None) -> NotebookNode:
    return nbformat.v4.new_output("error", ename=ename, evalue=evalue, traceback=traceback or [])


def ran(*outputs: NotebookNode, tag: str | None = None, source: str = "x", **fields: Any) -> NotebookNode:
    """Return a cell that has run and has these outputs."""
    return code(source, *([tag] if tag else []), outputs=list(outputs), execution_count=1, **fields)


def shows(data: dict[str, Any], *tags: str) -> NotebookNode:
    """Return a cell that displays an output of these MIME types."""
    return code("x", *tags, outputs=[nbformat.v4.new_output("display_data", data)], execution_count=1)


def scrap(name: str, data: Any, encoder: str = "json") -> NotebookNode:
    payload = {"name": name, "data": data, "encoder": encoder, "version": 1}
    return shows({f"application/scrapbook.scrap.{encoder}+json": payload})


def read(*cells: Any, **options: Any) -> Outcome:
    """Read the outcome of a notebook of these cells."""
    content = {"cells": list(cells), "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
    return read_outcome(json.dumps(content).encode(), **options)


def execute(*cells: NotebookNode, allow_errors: bool = False) -> NotebookNode:
    """Run cells in a kernel, and return the executed notebook."""
    executed = notebook(*cells)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of nbclient and the kernel
        with contextlib.suppress(nbclient.exceptions.CellExecutionError, nbclient.exceptions.DeadKernelError):
            client = nbclient.NotebookClient(executed, kernel_name="python3", allow_errors=allow_errors)
            client.iopub_timeout = 60  # a busy machine is slow
            client.execute()
    return executed


def by_papermill(source: NotebookNode, parameters: dict[str, Any]) -> NotebookNode:
    """Inject by papermill itself, after what its loader adds, and as if black were not installed."""
    prepared = nbformat.v4.upgrade(copy.deepcopy(source))
    prepared.metadata.setdefault("papermill", NotebookNode())
    for cell in prepared.cells:
        cell.metadata.setdefault("tags", [])
    with patch.dict(sys.modules, black=None):
        return parameterize_notebook(prepared, parameters)


def shown(cells: list[NotebookNode]) -> list[tuple[str, str, list[str]]]:
    """Return the cells without their ids, which are random in papermill."""
    return [(cell.cell_type, cell.source, list(cell.metadata.get("tags", []))) for cell in cells]


PEAK = """
def peak():
    \"\"\"Return the peak memory of this process in megabytes; getrusage would include that of its parent.\"\"\"
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM:")) // 1024
"""

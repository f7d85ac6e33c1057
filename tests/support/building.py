"""Notebooks for the tests, said in few words."""

from __future__ import annotations

import copy
from typing import Any

import nbformat
from nbformat import NotebookNode
from papermill.parameterize import parameterize_notebook

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


def by_papermill(source: NotebookNode, parameters: dict[str, Any]) -> NotebookNode:
    """Inject by papermill itself, with what its loader adds so that its injection works."""
    prepared = nbformat.v4.upgrade(copy.deepcopy(source))
    prepared.metadata.setdefault("papermill", NotebookNode())
    for cell in prepared.cells:
        cell.metadata.setdefault("tags", [])
    return parameterize_notebook(prepared, parameters)


def shown(cells: list[NotebookNode]) -> list[tuple[str, str, list[str]]]:
    """Return what the cells are, without their ids, which papermill draws at random."""
    return [(cell.cell_type, cell.source, list(cell.metadata.get("tags", []))) for cell in cells]


PEAK = """
def peak():
    \"\"\"Return the megabytes that this process has held at most; getrusage would count its parent's in.\"\"\"
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM:")) // 1024
"""

"""Cells of a notebook: tags, ids, and outputs of earlier runs."""

from __future__ import annotations

import copy
import hashlib
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nbformat import NotebookNode

__all__ = ["add_ids", "find_tagged", "has_valid_id", "is_tagged", "mapping", "without_outputs"]

# What a run leaves in the metadata: times (JupyterLab, papermill, ExecuteTime), and in Colab the user who ran it.
_RUN_METADATA_OF_CELLS = ("execution", "papermill", "ExecuteTime", "executionInfo", "outputId")
_RUN_METADATA_OF_NOTEBOOKS = ("widgets", "papermill")

_ID = re.compile(r"[a-zA-Z0-9-_]{1,64}")


def mapping(value: Any) -> Mapping[str, Any]:
    """Return a value of a notebook's JSON if it is an object, or else an empty one."""
    return value if isinstance(value, Mapping) else {}


def is_tagged(cell: Mapping[str, Any], *tags: str) -> bool:
    """Return whether a cell has one of the tags."""
    own = mapping(cell.get("metadata")).get("tags")
    return isinstance(own, list) and any(tag in own for tag in tags)


def find_tagged(cells: Sequence[Mapping[str, Any]], tag: str) -> int | None:
    """Return the index of the first cell with a tag, or ``None``."""
    return next((index for index, cell in enumerate(cells) if is_tagged(cell, tag)), None)


def has_valid_id(cell: Mapping[str, Any]) -> bool:
    """Return whether a cell has an id as nbformat 4.5 defines it: 1 to 64 letters, digits, ``-`` and ``_``."""
    return isinstance(cell.get("id"), str) and _ID.fullmatch(cell["id"]) is not None


def add_ids(notebook: NotebookNode, *, replace: bool = False) -> NotebookNode:
    """Give each cell without a valid id a hash of its content as id.

    nbformat would give random ids, and the same notebook would not be the same bytes twice. Cells have ids from
    nbformat 4.5 on; a notebook of an older minor version is left as it is.

    :param notebook: changed in place.
    :param replace: replace all ids, because they are random.
    :returns: the same notebook.
    """
    if (notebook.nbformat, notebook.nbformat_minor) < (4, 5):
        return notebook
    taken = set() if replace else {cell["id"] for cell in notebook.cells if has_valid_id(cell)}
    for cell in notebook.cells:
        if replace or not has_valid_id(cell):
            cell["id"] = _derived_id(cell, taken)
            taken.add(cell["id"])
    return notebook


def _derived_id(cell: NotebookNode, taken: set[str]) -> str:
    content = f"{cell['cell_type']}\n{cell['source']}".encode(errors="surrogatepass")
    count = 0
    while (derived := hashlib.sha256(content + (b"\n%d" % count if count else b"")).hexdigest()[:16]) in taken:
        count += 1
    return derived


def without_outputs(notebook: NotebookNode) -> NotebookNode:
    """Return a copy of a notebook without traces of earlier runs.

    Left out are outputs, execution counts, states of widgets, times, and the names of users who ran it.
    """
    bare = copy.deepcopy(notebook)
    for key in _RUN_METADATA_OF_NOTEBOOKS:
        bare.metadata.pop(key, None)
    for cell in bare.cells:
        for key in _RUN_METADATA_OF_CELLS:
            cell.metadata.pop(key, None)
        if cell.cell_type == "code":
            cell.outputs = []
            cell.execution_count = None
    return bare

"""What is done to cells: tags are looked for, ids derived, outputs taken away."""

from __future__ import annotations

import copy
import hashlib
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nbformat import NotebookNode

__all__ = ["add_ids", "find_tagged", "is_tagged", "without_outputs"]

# What a run leaves in the metadata: timings (JupyterLab, papermill, ExecuteTime), and in Colab who ran it.
_LEFT_IN_CELLS = ("execution", "papermill", "ExecuteTime", "executionInfo", "outputId")
_LEFT_IN_NOTEBOOKS = ("widgets", "papermill")

_ID = re.compile(r"[a-zA-Z0-9-_]{1,64}")


def is_tagged(cell: Mapping[str, Any], *tags: str) -> bool:
    """Return whether a cell carries one of the tags."""
    metadata = cell.get("metadata")
    own = metadata.get("tags") if isinstance(metadata, Mapping) else None
    return isinstance(own, list) and any(tag in own for tag in tags)


def find_tagged(cells: Sequence[Mapping[str, Any]], tag: str) -> int | None:
    """Return the index of the first cell with a tag."""
    return next((index for index, cell in enumerate(cells) if is_tagged(cell, tag)), None)


def add_ids(notebook: NotebookNode, *, anew: bool = False) -> NotebookNode:
    """Give cells that lack an id one, derived from what is in them, and return the notebook, changed in place.

    nbformat would give them random ones, and the same notebook would not be the same bytes twice. Cells have ids from
    nbformat 4.5 on; a notebook of an older minor version stays without.

    :param anew: replace all ids: they were random.
    """
    if (notebook.nbformat, notebook.nbformat_minor) < (4, 5):
        return notebook
    taken = set() if anew else {cell["id"] for cell in notebook.cells if "id" in cell}
    for cell in notebook.cells:
        if anew or not _ID.fullmatch(str(cell.get("id", ""))):
            cell["id"] = _derived_id(cell, taken)
            taken.add(cell["id"])
    return notebook


def _derived_id(cell: NotebookNode, taken: set[str]) -> str:
    content = f"{cell['cell_type']}\n{cell['source']}".encode(errors="surrogatepass")
    for count in range(len(taken) + 1):
        derived = hashlib.sha256(content + b"\n" * bool(count) + str(count).encode() * bool(count)).hexdigest()[:16]
        if derived not in taken:
            return derived
    raise AssertionError("as many tries as ids, and one more")


def without_outputs(notebook: NotebookNode) -> NotebookNode:
    """Return a copy of the notebook without what earlier runs left in it.

    Outputs and execution counts go, and so do widgets' states, timings, and the names of those who ran it.
    """
    bare = copy.deepcopy(notebook)
    for key in _LEFT_IN_NOTEBOOKS:
        bare.metadata.pop(key, None)
    for cell in bare.cells:
        for key in _LEFT_IN_CELLS:
            cell.metadata.pop(key, None)
        if cell.cell_type == "code":
            cell.outputs = []
            cell.execution_count = None
    return bare

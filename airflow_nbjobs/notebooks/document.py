"""Notebooks as documents: read, checked, given their parameters, and written, the same bytes each time."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import nbformat
from nbformat import NotebookNode

from airflow_nbjobs.exceptions import InvalidNotebookJobError
from airflow_nbjobs.notebooks.cells import add_ids, find_tagged, without_outputs
from airflow_nbjobs.notebooks.languages import assigned_names, check_names, kernel_and_language, write_assignments
from airflow_nbjobs.notebooks.parameters import plain_parameters

__all__ = [
    "check_parameter_names",
    "declared_parameters",
    "dump",
    "encode",
    "inject",
    "load",
    "read_file",
    "without_outputs",
]

_KNOWN_FORMATS = (3, 4)
_TEXT_FORMATS = frozenset({".py", ".md"})


def inject(notebook: NotebookNode, parameters: Mapping[str, Any], *, kernel_name: str | None = None) -> NotebookNode:
    """Return a copy of the notebook with a cell that gives the parameters their values.

    The convention is papermill's: the cell, tagged ``injected-parameters``, replaces an older one, or follows the cell
    tagged ``parameters``, or stands first; its source is papermill's, byte for byte. ``metadata.papermill.parameters``
    records the values, where scrapbook looks for them; the rest of what papermill writes there tells of a run by
    papermill, and is not written. The notebook keeps its minor version and its ids, where papermill makes it 4.5, and
    the same notebook with the same parameters is the same each time.

    :param parameters: names and values: JSON's types, dates and datetimes (as ISO 8601 text), tuples (as lists).
    :param kernel_name: the kernel that it will run in, in place of the one that it names.
    :raises InvalidNotebookJobError: for another value, or a language that papermill does not know.
    """
    values = plain_parameters(parameters)
    injected = _as_version_4(notebook)
    source = write_assignments(values, *kernel_and_language(injected, kernel_name))
    cell = nbformat.from_dict(  # type: ignore[no-untyped-call]  # nbformat has no types
        {
            "cell_type": "code",
            "execution_count": None,
            "metadata": {"tags": ["injected-parameters"]},
            "outputs": [],
            "source": source,
        }
    )
    older, declared = (find_tagged(injected.cells, tag) for tag in ("injected-parameters", "parameters"))
    if older is not None:
        injected.cells[older] = cell
    else:
        injected.cells.insert(0 if declared is None else declared + 1, cell)
    known = injected.metadata.get("papermill")
    injected.metadata["papermill"] = {**(known if isinstance(known, Mapping) else {}), "parameters": values}
    return add_ids(injected)


def check_parameter_names(notebook: NotebookNode, names: Iterable[str], *, kernel_name: str | None = None) -> None:
    """Check that the notebook's language can assign to each name, before a run of it is paid for.

    :raises InvalidNotebookJobError: for a name that is none there, or taken: in Python, R and bash that is known.
    """
    check_names(names, *kernel_and_language(_as_version_4(notebook), kernel_name))


def declared_parameters(notebook: NotebookNode, *, kernel_name: str | None = None) -> frozenset[str] | None:
    """Return the names that the cell tagged ``parameters`` assigns: the parameters that the notebook knows.

    ``None`` means that it cannot be told: there is no such cell, or papermill cannot read the language.

    :param kernel_name: as for :func:`inject`.
    :raises InvalidNotebookJobError: when papermill does not know the language at all.
    """
    readable = _as_version_4(notebook)
    index = find_tagged(readable.cells, "parameters")
    if index is None:
        return None
    return assigned_names(readable.cells[index].source, *kernel_and_language(readable, kernel_name))


def load(content: bytes, what: str) -> NotebookNode:
    """Return a notebook of version 4 from the bytes of an ``.ipynb`` file.

    It need not be valid in each detail: many that Jupyter and papermill run are not.

    :param what: how errors name it.
    :raises InvalidNotebookJobError: when it is not a notebook.
    """
    text, _ = _parsed(content, what)
    try:
        # Lines joined, and nothing repaired at random, as nbformat.reads would do.
        notebook = _as_version_4(nbformat.reader.reads(text))  # type: ignore[no-untyped-call]  # nbformat has no types
    except Exception as error:  # nbformat fails in any way on what is malformed
        problem = f"{type(error).__name__}: {error}".strip().splitlines()[0]
        raise InvalidNotebookJobError(f"{what} is not a valid notebook: {problem}") from error
    if not _has(notebook, metadata=Mapping, cells=list):
        raise InvalidNotebookJobError(f"{what} is not a valid notebook: it has no metadata, or no list of cells.")
    if not all(_has(cell, cell_type=str, source=str, metadata=Mapping) for cell in notebook.cells):
        raise InvalidNotebookJobError(f"{what} is not a valid notebook: a cell has no type, source or metadata.")
    return notebook


def dump(notebook: NotebookNode) -> bytes:
    """Return a notebook as the bytes of an ``.ipynb`` file, the same bytes each time."""
    text: str = nbformat.v4.writes(notebook)  # type: ignore[no-untyped-call]  # nbformat has no types
    try:
        return f"{text}\n".encode()
    except UnicodeEncodeError:  # half a surrogate pair can be escaped in JSON, and not be UTF-8
        ascii_text: str = nbformat.v4.writes(notebook, ensure_ascii=True)  # type: ignore[no-untyped-call]  # as above
        return f"{ascii_text}\n".encode()


def encode(notebook: Mapping[str, Any], what: str) -> bytes:
    """Return the bytes of a notebook given as JSON, checked.

    :param what: how errors name it.
    :raises InvalidNotebookJobError: when it is not a notebook.
    """
    try:
        content = json.dumps(notebook, allow_nan=False).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidNotebookJobError(f"{what} is not JSON: {error}.") from error
    load(content, what)
    return content


def read_file(path: Path) -> bytes:
    """Return the bytes of an ``.ipynb`` file as they are, or those of the notebook that a ``.py`` or ``.md`` file is.

    :raises InvalidNotebookJobError: when it cannot be read, or is not a notebook; when it is text, and jupytext is not
        installed.
    """
    what = f"The notebook {str(path)!r}"
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InvalidNotebookJobError(f"{what} cannot be read: {error.strerror}.") from error
    if path.suffix in _TEXT_FORMATS:
        return dump(_from_text(content, path.suffix, what))
    load(content, what)
    return content


def _from_text(content: bytes, suffix: str, what: str) -> NotebookNode:
    try:
        import jupytext  # type: ignore[import-untyped]  # ships no types
    except ModuleNotFoundError as error:
        raise InvalidNotebookJobError(
            f"{what} is a text notebook, which jupytext reads: pip install 'airflow-nbjobs[jupytext]'."
        ) from error
    try:
        notebook: NotebookNode = jupytext.reads(content.decode(), fmt=suffix.lstrip("."))
    except Exception as error:  # jupytext has no errors of its own: yaml's, its parsers', ValueError
        raise InvalidNotebookJobError(f"{what} cannot be read by jupytext: {error}") from error
    return add_ids(_as_version_4(notebook), anew=True)


def _as_version_4(notebook: NotebookNode) -> NotebookNode:
    """Return a copy that can be changed: version 4, each cell with metadata."""
    copied: NotebookNode = copy.deepcopy(notebook)
    is_older = copied.get("nbformat") != 4
    copied.setdefault("nbformat_minor", 0)
    if is_older:
        copied = nbformat.convert(copied, 4)  # type: ignore[no-untyped-call]  # nbformat has no types
    for cell in copied.cells:
        if "metadata" not in cell:
            cell["metadata"] = {}  # becomes a NotebookNode
    return add_ids(copied, anew=is_older)


def _has(part: Any, **kinds: type) -> bool:
    return isinstance(part, Mapping) and all(isinstance(part.get(key), kind) for key, kind in kinds.items())


def _parsed(content: bytes, what: str) -> tuple[str, dict[str, Any]]:
    try:
        text = content.decode(json.detect_encoding(content))
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InvalidNotebookJobError(f"{what} is not JSON, as an .ipynb file is: {error}.") from error
    version = data.get("nbformat") if isinstance(data, dict) else None
    if version not in _KNOWN_FORMATS:
        raise InvalidNotebookJobError(
            f"{what} is not a notebook of a known format: nbformat is {version!r}, and 3 and 4 are known."
        )
    return text, data

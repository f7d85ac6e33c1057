"""Documents: notebooks are read, checked, given parameters, and written as the same bytes each time."""

from __future__ import annotations

import codecs
import copy
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import nbformat
from nbformat import NotebookNode

from airflow_nbjobs.exceptions import FailureKind, InvalidNotebookJobError
from airflow_nbjobs.notebooks.cells import add_ids, find_tagged, is_tagged, mapping
from airflow_nbjobs.notebooks.languages import assigned_names, check_names, kernel_and_language, write_assignments
from airflow_nbjobs.notebooks.parameters import plain_parameters
from airflow_nbjobs.notebooks.repair import repair

__all__ = ["check_parameter_names", "declared_parameters", "dump", "encode", "inject", "load", "read_file"]

_KNOWN_FORMATS = (3, 4)
_TEXT_FORMATS = frozenset({".py", ".md"})


def inject(notebook: NotebookNode, parameters: Mapping[str, Any], *, kernel_name: str | None = None) -> NotebookNode:
    """Return a copy of the notebook with a cell that assigns the parameters.

    The convention is papermill's. The cell is tagged ``injected-parameters``. It replaces older ones; otherwise it
    follows the cell tagged ``parameters``; otherwise it is the first cell. Its source is byte for byte papermill's, if
    black does not format it. Unlike papermill, this leaves no second cell with its tag, and none before the cell tagged
    ``parameters``. ``metadata.papermill.parameters`` records the values for scrapbook. Unlike papermill, this keeps the
    notebook's minor version and ids, and the same notebook with the same parameters gives the same bytes each time.

    :param notebook: as :func:`load` returns it; it is not changed.
    :param parameters: names and values: the types of JSON, dates and datetimes (become ISO 8601 text), and tuples
        (become lists).
    :param kernel_name: the kernel that the notebook will run in; by default the one that it names.
    :raises InvalidNotebookJobError: for another type of value, or a language that papermill does not know.
    """
    values = plain_parameters(parameters)
    injected = _as_version_4(notebook)
    source = write_assignments(values, *kernel_and_language(injected, kernel_name))
    cell = nbformat.v4.new_code_cell(  # type: ignore[no-untyped-call]  # nbformat has no types
        source, metadata={"tags": ["injected-parameters"]}
    )
    del cell["id"]  # a random one
    older, declared = (find_tagged(injected.cells, tag) for tag in ("injected-parameters", "parameters"))
    at = 0 if declared is None else declared + 1
    if older is not None and older >= (declared or 0):
        at = older
    before, after = (
        [other for other in cells if not is_tagged(other, "injected-parameters")]
        for cells in (injected.cells[:at], injected.cells[at:])
    )
    injected.cells = [*before, cell, *after]
    injected.metadata["papermill"] = {**mapping(injected.metadata.get("papermill")), "parameters": values}
    return add_ids(injected)


def check_parameter_names(notebook: NotebookNode, names: Iterable[str], *, kernel_name: str | None = None) -> None:
    """Check that the notebook's language can assign a value to each name, before a run is paid for.

    :param kernel_name: as for :func:`inject`.
    :raises InvalidNotebookJobError: for a name that is not valid or, in Python, R and bash, is reserved.
    """
    check_names(names, *kernel_and_language(_as_version_4(notebook), kernel_name))


def declared_parameters(notebook: NotebookNode, *, kernel_name: str | None = None) -> frozenset[str] | None:
    """Return the names that the cell tagged ``parameters`` assigns, and no later cell with this tag.

    :param kernel_name: as for :func:`inject`.
    :returns: ``None`` when there is no such cell, or papermill cannot read the language.
    :raises InvalidNotebookJobError: when papermill does not know the language.
    """
    readable = _as_version_4(notebook)
    tagged = [cell for cell in readable.cells if is_tagged(cell, "parameters")]
    language = kernel_and_language(readable, kernel_name)
    names, *later = (assigned_names(cell.source, *language) for cell in tagged) if tagged else [None]
    return None if names is None else names.difference(*(others or () for others in later))


def load(content: bytes, what: str) -> NotebookNode:
    """Return a notebook of nbformat 4 from the bytes of an ``.ipynb`` file of nbformat 3 or 4.

    The notebook need not match the schema: it is repaired as nbclient and nbformat would do it. Every encoding that
    JSON may have is read, also with a byte order mark.

    :param what: how errors name the notebook.
    :raises InvalidNotebookJobError: when it is not a notebook.
    """
    return _load(content, what)[0]


def _load(content: bytes, what: str) -> tuple[NotebookNode, bytes]:
    """Return a notebook, and its bytes in UTF-8, which are changed only where nbclient could not run it."""
    data, encoding = _decode(content, what)
    try:
        is_repaired = data["nbformat"] == 4 and repair(data)
        # Joins lines, and does not add random ids as nbformat.reads does.
        read = nbformat.versions[data["nbformat"]].to_notebook_json(data, minor=data.get("nbformat_minor", 0))
        notebook = _as_version_4(read)
    except Exception as error:  # nbformat fails in any way on what is malformed
        problem = f"{type(error).__name__}: {error}".strip().splitlines()[0]
        raise InvalidNotebookJobError(f"{what} is not a valid notebook: {problem}") from error
    is_valid = _has(notebook, metadata=Mapping, cells=list)
    if not is_valid or not all(_has(cell, cell_type=str, source=str, metadata=Mapping) for cell in notebook.cells):
        raise InvalidNotebookJobError(
            f"{what} is not a valid notebook: it has no metadata or cells, or a cell has no type, source or metadata."
        )
    if is_repaired:
        return notebook, dump(notebook)
    return notebook, content if encoding == "utf-8" else content.decode(encoding).encode()


def dump(notebook: NotebookNode) -> bytes:
    """Return a notebook as the bytes of an ``.ipynb`` file: UTF-8, and the same bytes each time."""
    text: str = nbformat.v4.writes(notebook)  # type: ignore[no-untyped-call]  # nbformat has no types
    # UTF-8 cannot encode half a surrogate pair; its backslash escape is valid JSON.
    return f"{text}\n".encode(errors="backslashreplace")


def encode(notebook: Mapping[str, Any], what: str) -> bytes:
    """Return the bytes of a notebook that is given as JSON, repaired where it does not match the schema.

    :param notebook: the parsed JSON.
    :param what: how errors name the notebook.
    :raises InvalidNotebookJobError: when it is not JSON, or not a notebook.
    """
    try:
        content = json.dumps(notebook, allow_nan=False).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidNotebookJobError(f"{what} is not JSON: {error}.") from error
    return _load(content, what)[1]


def read_file(path: Path) -> bytes:
    """Return the bytes of an ``.ipynb`` file, or of the notebook that jupytext reads from a text file.

    An ``.ipynb`` file is returned byte for byte, but in UTF-8, without a byte order mark, and repaired where nbclient
    could not run it.

    :param path: ``.py`` and ``.md`` are text notebooks; every other suffix is taken for ``.ipynb``.
    :raises InvalidNotebookJobError: when the file cannot be read or is not a notebook, or jupytext is not installed.
    """
    what = f"The notebook {str(path)!r}"
    try:
        content = path.read_bytes()
    except OSError as error:
        # It may be readable later.
        raise InvalidNotebookJobError(f"{what} cannot be read: {error.strerror}.", kind=FailureKind.OTHER) from error
    if path.suffix in _TEXT_FORMATS:
        return dump(_from_text(content, path.suffix, what))
    return _load(content, what)[1]


def _from_text(content: bytes, suffix: str, what: str) -> NotebookNode:
    try:
        import jupytext  # type: ignore[import-untyped]  # ships no types
    except ModuleNotFoundError as error:
        raise InvalidNotebookJobError(
            f"{what} is a text notebook, which jupytext reads. Install it: pip install 'airflow-nbjobs[jupytext]'."
        ) from error
    try:
        encoding = "utf-16" if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "utf-8-sig"
        notebook: NotebookNode = jupytext.reads(content.decode(encoding), fmt=suffix.lstrip("."))
    except Exception as error:  # jupytext has no base class of errors
        raise InvalidNotebookJobError(f"{what} cannot be read by jupytext: {error}") from error
    return add_ids(_as_version_4(notebook), replace=True)


def _as_version_4(notebook: NotebookNode) -> NotebookNode:
    """Return a copy of nbformat 4, repaired."""
    copied: NotebookNode = copy.deepcopy(notebook)
    is_older = copied.get("nbformat") != 4
    if is_older:
        copied = nbformat.convert(copied, 4)  # type: ignore[no-untyped-call]  # nbformat has no types
    repair(copied)
    return add_ids(copied, replace=is_older)


def _has(part: Any, **kinds: type) -> bool:
    return isinstance(part, Mapping) and all(isinstance(part.get(key), kind) for key, kind in kinds.items())


def _decode(content: bytes, what: str) -> tuple[dict[str, Any], str]:
    encoding = json.detect_encoding(content)
    try:
        data = json.loads(content.decode(encoding))
    except (ValueError, RecursionError) as error:
        raise InvalidNotebookJobError(f"{what} is not JSON, as an .ipynb file must be: {error}.") from error
    version = data.get("nbformat") if isinstance(data, dict) else None
    if version not in _KNOWN_FORMATS:
        raise InvalidNotebookJobError(
            f"{what} is not a notebook: its nbformat is {version!r}, and only 3 and 4 are known."
        )
    return data, encoding

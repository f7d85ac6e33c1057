"""Read the notebook of a job."""

from __future__ import annotations

import json
import re

import nbformat

MAX_MESSAGE_LENGTH = 1_000
"""The largest number of characters of an error in a job's status, which a person reads."""

_TERMINAL = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b[@-_]|[\x00-\x08\x0b-\x1f\x7f]")


def plain(text: str) -> str:
    """Return *text* without terminal codes, cut to :data:`MAX_MESSAGE_LENGTH` characters."""
    cut = _TERMINAL.sub("", text[: 4 * MAX_MESSAGE_LENGTH]).strip()
    return cut if len(cut) <= MAX_MESSAGE_LENGTH else cut[: MAX_MESSAGE_LENGTH - 1] + "…"


class UnreadableError(Exception):
    """The file is not a notebook that can be run."""


def load(source: bytes) -> nbformat.NotebookNode:
    """Read a notebook of any nbformat that can be converted to version 4.

    :raises UnreadableError: with the reason, for a person.
    """
    try:
        document = json.loads(source)
    except (ValueError, RecursionError) as error:
        raise UnreadableError(f"The file is not a notebook: it is not JSON ({plain(str(error))}).") from None
    version = document.get("nbformat") if isinstance(document, dict) else None
    if not isinstance(version, int) or isinstance(version, bool):
        raise UnreadableError("The file is not a notebook: it is JSON, but has no nbformat number.")
    if version not in nbformat.versions:
        known = ", ".join(str(known) for known in sorted(nbformat.versions))
        raise UnreadableError(f"The notebook's nbformat {version} is unknown here; known are {known}.")
    try:
        notebook: nbformat.NotebookNode = nbformat.reads(source.decode(), as_version=4)  # type: ignore[no-untyped-call] # nbformat has no types
        _, notebook = nbformat.validator.normalize(notebook)
        for cell in notebook.cells:
            if cell.cell_type == "code":  # outputs of an earlier run do not matter, even malformed ones
                cell.outputs, cell.execution_count = [], None
        if kernel := notebook.metadata.get("kernelspec"):  # some tools omit what nbformat requires
            kernel.setdefault("name", "python3")
            kernel.setdefault("display_name", kernel["name"])
        nbformat.validate(notebook)
    except Exception as error:  # noqa: BLE001 - the converters of old versions raise anything on a malformed file
        raise UnreadableError(f"The file is not a valid notebook of nbformat {version}: {plain(str(error))}") from None
    return notebook

"""Read the notebook of a job, as tolerantly as nbclient and papermill do.

They run notebooks that do not match nbformat's schema. What is wrong is left out, with a warning; then the notebook
runs. What the real service refuses is not known (``docs/assumptions.md``).
"""

from __future__ import annotations

import json
import re
import warnings
from typing import Any

import nbformat

MAX_MESSAGE_LENGTH = 1_000
"""The largest number of characters of an error in a job's status, which a person reads."""

_TERMINAL = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b[@-_]|[\x00-\x08\x0b-\x1f\x7f]")
_CELL_ID = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_CELL_TYPES = ("code", "markdown", "raw")


def plain(text: str) -> str:
    """Return *text* without terminal codes, cut to :data:`MAX_MESSAGE_LENGTH` characters."""
    cut = _TERMINAL.sub("", text[: 4 * MAX_MESSAGE_LENGTH]).strip()
    return cut if len(cut) <= MAX_MESSAGE_LENGTH else cut[: MAX_MESSAGE_LENGTH - 1] + "…"


class UnreadableError(Exception):
    """The file is not a notebook that can be run."""


def load(source: bytes) -> tuple[nbformat.NotebookNode, str]:
    """Read a notebook of any nbformat that can be converted to version 4.

    :param source: JSON in UTF-8, UTF-16 or UTF-32, with or without a byte order mark.
    :returns: the notebook, and the first thing that was wrong with it, or an empty text.
    :raises UnreadableError: with the reason, for a person.
    """
    try:
        document = json.loads(source)
    except (ValueError, RecursionError) as error:
        raise UnreadableError(f"The file is not a notebook: it is not JSON ({plain(str(error))}).") from None
    version = document.get("nbformat") if isinstance(document, dict) else None
    if not isinstance(version, int | float) or isinstance(version, bool):
        raise UnreadableError("The file is not a notebook: it is JSON, but has no nbformat number.")
    if version not in nbformat.versions:
        known = ", ".join(str(known) for known in sorted(nbformat.versions))
        raise UnreadableError(f"The notebook's nbformat {version} is unknown here; known are {known}.")
    try:
        document["nbformat"] = int(version)
        if version == 4:
            wrong = _repair(document)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            notebook: nbformat.NotebookNode = nbformat.reads(json.dumps(document), as_version=4)  # type: ignore[no-untyped-call] # nbformat has no types
            if version != 4:
                wrong = _repair(notebook)
            _, notebook = nbformat.validator.normalize(notebook, relax_add_props=True, strip_invalid_metadata=True)
    except Exception as error:  # noqa: BLE001 - the converters of old versions raise anything on a malformed file
        raise UnreadableError(f"The file is not a valid notebook of nbformat {version}: {plain(str(error))}") from None
    return notebook, wrong


def _repair(document: dict[str, Any]) -> str:
    """Repair what nbformat's own repair does not, and return the first thing that was wrong."""
    cells = document.get("cells")
    if not isinstance(cells, list) or not all(isinstance(cell, dict) for cell in cells):
        raise UnreadableError("cells must be a list of objects")
    for cell in cells:
        cell["cell_type"] = str(cell.get("cell_type"))
        for name in ("outputs", "execution_count"):  # of an earlier run: they do not matter, even malformed ones
            cell.pop(name, None)
        if cell["cell_type"] == "code":
            cell |= {"outputs": [], "execution_count": None}
            cell.pop("attachments", None)
        if not (isinstance(cell.get("id"), str) and _CELL_ID.fullmatch(cell["id"])):
            cell.pop("id", None)
    # nbformat 4.4 asks for no ids: nbformat gives missing ones.
    found = nbformat.validator.iter_validate(document, version=4, version_minor=4, relax_add_props=True)  # type: ignore[no-untyped-call] # nbformat has no types
    message, _, details = str(next(found, "")).partition("\n\nFailed validating ")
    where = details.partition("On instance")[2].partition(":\n")[0]
    for part in (document, *cells):
        if not isinstance(part.get("metadata"), dict):
            part["metadata"] = {}
    for cell in cells:
        if "tags" in cell["metadata"]:
            cell["metadata"]["tags"] = _tags(cell["metadata"]["tags"])
        if cell["cell_type"] not in _CELL_TYPES:
            cell["cell_type"] = "raw"
        if not isinstance(cell.get("source"), str | list):
            cell["source"] = ""
        if not isinstance(cell.get("attachments", {}), dict):
            del cell["attachments"]
    kernel = document["metadata"].get("kernelspec")
    if isinstance(kernel, dict) and not isinstance(kernel.get("display_name"), str):  # some tools omit it
        kernel["display_name"] = str(kernel.get("name"))
    minor = document.get("nbformat_minor")
    has_ids = any("id" in cell for cell in cells)
    document["nbformat_minor"] = max(minor if isinstance(minor, int) else 4, 5 if has_ids else 0)
    return plain(f"{message[:300]} in notebook{where}") if message else ""


def _tags(given: object) -> list[str]:
    """Return tags as nbformat requires them: different texts without a comma."""
    texts = [given] if isinstance(given, str) else given if isinstance(given, list) else []
    parts = [part.strip() for text in texts if isinstance(text, str) for part in text.split(",")]
    return list(dict.fromkeys(part for part in parts if part))

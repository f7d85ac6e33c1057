"""Read the notebook of a job, as tolerantly as nbclient and papermill do.

They run notebooks that do not match nbformat's schema. What is wrong is repaired where a repair is known, with a
warning; then the notebook runs. What the real service refuses is not known (``docs/assumptions.md``).
"""

from __future__ import annotations

import json
import re
import warnings
from typing import Any

import nbformat
from nbformat.corpus.words import generate_corpus_id

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


def load(source: bytes) -> tuple[nbformat.NotebookNode, list[str]]:
    """Read a notebook of any nbformat that can be converted to version 4.

    :param source: JSON in UTF-8, UTF-16 or UTF-32, with or without a byte order mark.
    :returns: the notebook, and what was repaired or is still invalid.
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
    repairs: dict[str, None] = {}
    try:
        document["nbformat"] = int(version)
        if version == 4:
            _repair(document, repairs)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            notebook: nbformat.NotebookNode = nbformat.reads(json.dumps(document), as_version=4)  # type: ignore[no-untyped-call] # nbformat has no types
            if version != 4:
                _repair(notebook, repairs)
            _, notebook = nbformat.validator.normalize(notebook, relax_add_props=True, strip_invalid_metadata=True)
    except Exception as error:  # noqa: BLE001 - the converters of old versions raise anything on a malformed file
        raise UnreadableError(f"The file is not a valid notebook of nbformat {version}: {plain(str(error))}") from None
    if wrong := next(nbformat.validator.iter_validate(notebook, relax_add_props=True), None):  # type: ignore[no-untyped-call] # as above
        repairs[f"it is still not valid: {plain(str(wrong)).splitlines()[0]}"] = None
    return notebook, list(repairs)


def _repair(document: dict[str, Any], repairs: dict[str, None]) -> None:
    """Repair what nbformat's own repair does not."""
    if not isinstance(minor := document.get("nbformat_minor"), int):
        document["nbformat_minor"] = 4
        repairs[f"its nbformat_minor is {minor!r}: taken for 4"] = None
    metadata = _metadata(document, "the notebook", repairs)
    for name in ("kernelspec", "language_info"):
        if name in metadata and not isinstance(metadata[name], dict):
            del metadata[name]
            repairs[f"its {name} is not an object: removed"] = None
    if kernel := metadata.get("kernelspec"):  # some tools omit what nbformat requires
        kernel["name"] = _text_of(kernel.get("name"), "python3")
        kernel["display_name"] = _text_of(kernel.get("display_name"), kernel["name"])
    if metadata.get("language_info") and not isinstance(metadata["language_info"].get("name"), str):
        del metadata["language_info"]
        repairs["its language_info has no name: removed"] = None
    cells = document.get("cells")
    if not isinstance(cells, list) or not all(isinstance(cell, dict) for cell in cells):
        raise UnreadableError("cells must be a list of objects")
    for number, cell in enumerate(cells, 1):
        _repair_cell(cell, f"cell {number} of all", repairs)
    if any("id" in cell for cell in cells) and document["nbformat_minor"] < 5:
        document["nbformat_minor"] = 5
        repairs["it has cell ids before nbformat 4.5: taken for 4.5"] = None


def _repair_cell(cell: dict[str, Any], where: str, repairs: dict[str, None]) -> None:
    if cell.get("cell_type") not in _CELL_TYPES:
        repairs[f"the type of {where} is {cell.get('cell_type')!r}: it is not run"] = None
        cell["cell_type"] = "raw"
    metadata = _metadata(cell, where, repairs)
    if cell.get("source") is None:
        cell["source"] = ""
    if "id" in cell and not (isinstance(cell["id"], str) and _CELL_ID.fullmatch(cell["id"])):
        repairs[f"the id of {where} is {cell['id']!r:.100}: replaced"] = None
        cell["id"] = generate_corpus_id()  # type: ignore[no-untyped-call] # as above
    if "tags" in metadata and (tags := _tags(metadata["tags"])) != metadata["tags"]:
        repairs[f"the tags of {where} are {metadata['tags']!r:.100}: taken for {tags}"] = None
        metadata["tags"] = tags
    for name in ("outputs", "execution_count"):
        cell.pop(name, None)
    if not isinstance(cell.get("attachments", {}), dict):
        del cell["attachments"]
    if cell["cell_type"] == "code":  # outputs of an earlier run do not matter, even malformed ones
        cell["outputs"], cell["execution_count"] = [], None
        cell.pop("attachments", None)


def _metadata(part: dict[str, Any], where: str, repairs: dict[str, None]) -> dict[str, Any]:
    if not isinstance(part.get("metadata"), dict):
        if "metadata" in part:
            repairs[f"the metadata of {where} is {part['metadata']!r:.100}: taken for empty"] = None
        part["metadata"] = {}
    found: dict[str, Any] = part["metadata"]
    return found


def _text_of(value: object, default: str) -> str:
    return value if isinstance(value, str) and value else default


def _tags(given: object) -> list[str]:
    """Return tags as nbformat requires them: different texts without a comma."""
    texts = [given] if isinstance(given, str) else given if isinstance(given, list) else []
    parts = [part.strip() for text in texts if isinstance(text, str) for part in text.split(",")]
    return list(dict.fromkeys(part for part in parts if part))

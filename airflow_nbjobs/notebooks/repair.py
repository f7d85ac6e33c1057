"""Repair of notebooks that do not match the schema, and that nbclient and papermill run all the same."""

from __future__ import annotations

from typing import Any

from airflow_nbjobs.notebooks.cells import has_valid_id

__all__ = ["repair"]


def repair(notebook: dict[str, Any]) -> bool:
    """Repair the JSON of a notebook of nbformat 4, in place.

    Missing and odd metadata, tags, outputs, attachments and execution counts become empty ones. Cell ids are removed
    where they are not valid or not unique, and in minor versions before 5, which have none. A cell that is not an
    object or has no type is left as it is.

    :returns: whether nbclient needs the change: it does without a minor version, outputs and counts.
    """
    repairs = _Repairs()
    notebook.setdefault("nbformat_minor", 0)
    repairs.ensure_metadata(notebook)
    if not _is_integer(notebook["nbformat_minor"]):
        repairs.set(notebook, "nbformat_minor", 0)
    cells = notebook.get("cells")
    seen: set[str] = set()
    for cell in cells if isinstance(cells, list) else ():
        if isinstance(cell, dict):
            _repair_cell(cell, repairs)
            has_id = notebook["nbformat_minor"] >= 5 and has_valid_id(cell) and cell["id"] not in seen
            if has_id:
                seen.add(cell["id"])
            elif "id" in cell:
                repairs.remove(cell, "id")
    return repairs.is_changed


class _Repairs:
    """Changes objects, and notes whether it did."""

    is_changed = False

    def set(self, part: dict[str, Any], key: str, value: Any) -> None:
        part[key] = value
        self.is_changed = True

    def remove(self, part: dict[str, Any], key: str) -> None:
        del part[key]
        self.is_changed = True

    def ensure_metadata(self, part: dict[str, Any]) -> None:
        if not isinstance(part.get("metadata"), dict):
            self.set(part, "metadata", {})


def _repair_cell(cell: dict[str, Any], repairs: _Repairs) -> None:
    repairs.ensure_metadata(cell)
    metadata = cell["metadata"]
    tags = metadata.get("tags", [])
    if not isinstance(tags, list) or not all(isinstance(tag, str) for tag in tags):
        tags = [tags] if isinstance(tags, str) else tags if isinstance(tags, list) else []
        repairs.set(metadata, "tags", [tag for tag in tags if isinstance(tag, str)])
    if cell.get("source") is None:
        repairs.set(cell, "source", "")
    if "attachments" in cell and not isinstance(cell["attachments"], dict):
        repairs.remove(cell, "attachments")
    if cell.get("cell_type") == "code":
        cell.setdefault("execution_count", None)
        outputs = cell.setdefault("outputs", [])
        if not isinstance(outputs, list) or not all(map(_is_output, outputs)):
            repairs.set(cell, "outputs", list(filter(_is_output, outputs if isinstance(outputs, list) else [])))
        if cell["execution_count"] is not None and not _is_integer(cell["execution_count"]):
            repairs.set(cell, "execution_count", None)


def _is_output(output: Any) -> bool:
    return isinstance(output, dict) and isinstance(output.get("data", {}), dict)


def _is_integer(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)

"""Results of a notebook: values in its outputs that it reports to its task.

- Scraps of scrapbook and records of papermill, under their names.
- The output of a cell tagged ``xcom`` or ``result``: the keys of an object are names, every other value is named
  ``result``. It is a problem when this output cannot be read.

The last value under a name counts.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from airflow_nbjobs.notebooks.cells import mapping
from airflow_nbjobs.notebooks.plain_text import plain
from airflow_nbjobs.notebooks.scalars import find_missing
from airflow_nbjobs.notebooks.tagged_output import TaggedOutput
from airflow_nbjobs.notebooks.xcom_limits import check_carried

__all__ = ["RESULT_TAGS", "Results"]

RESULT_TAGS = ("xcom", "result")

_SCRAP, _RECORD = "application/scrapbook.scrap.", "application/papermill.record"
_HELD = 16  # times the limit: how much is kept of values that later ones may replace
_MESSAGES = 5


class Results:
    """Collects what the cells of one notebook report.

    :param limit: bytes of JSON that all values may take together.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._texts: dict[str, str | int] = {}  # the JSON of a value, or the size of one that is not kept
        self._held = 0
        self._problems: dict[str, None] = {}
        self._notes: dict[str, None] = {}

    def add_output(self, output: Mapping[str, Any], number: int, *, is_whole: bool) -> bool:
        """Add the scraps and records of an output.

        :param number: of the cell, for messages.
        :param is_whole: whether all of the output was read.
        :returns: whether the output has scraps or records.
        """
        reports = False
        for kind, payload in mapping(output.get("data")).items():
            if not kind.startswith((_SCRAP, _RECORD)):
                continue
            reports = True
            if not is_whole:
                self._problem(f"cell {number} reports a value that is too large, or not JSON")
            elif kind.startswith(_RECORD):
                self._add_record(payload, number)
            else:
                self._add_scrap(payload, number)
        return reports

    def add_cell(self, outputs: TaggedOutput, number: int) -> None:
        """Add the values in the outputs of a tagged cell.

        :param number: of the cell, for messages.
        """
        if outputs.is_empty and not outputs.has_reported:
            self._note(f"cell {number} is tagged as a result, but has no output")
        elif not outputs.has_reported:
            try:
                value, is_from_kernel = outputs.value()
            except ValueError as error:
                self._problem(f"cell {number} is tagged as a result, but {error}")
                return
            for name, item in (value if isinstance(value, dict) else {"result": value}).items():
                self._add(str(name), item, is_from_kernel=is_from_kernel)

    def add_all(self, results: Results) -> None:
        """Add what the outputs of a cell have reported."""
        for name, text in results._texts.items():
            self._store(name, text)
        for problem in results._problems:
            self._problem(problem)
        for note in results._notes:
            self._note(note)

    def values(self) -> dict[str, Any]:
        """Return the values by name; nothing when there is a :meth:`problem`."""
        if self.problem():
            return {}
        return {name: json.loads(text) for name, text in self._texts.items() if isinstance(text, str)}

    def problem(self) -> str | None:
        """Return why there are no results, on one line, or ``None``."""
        size = sum(len(name) + (text if isinstance(text, int) else len(text)) for name, text in self._texts.items())
        if size > self._limit:
            return f"the results take {size:,} bytes of JSON, over the limit of {self._limit:,}"
        return "; ".join(self._problems) or None

    def notes(self) -> tuple[str, ...]:
        """Return which results are left out, each on one line."""
        return tuple(self._notes)

    def _add_record(self, payload: Any, number: int) -> None:
        if isinstance(payload, Mapping) and payload:
            name, value = next(iter(payload.items()))
            self._add(name, _unwrapped(value), is_from_kernel=True)
        else:
            self._problem(f"cell {number} has a papermill record without a name")

    def _add_scrap(self, payload: Any, number: int) -> None:
        name = payload.get("name") if isinstance(payload, Mapping) else None
        if not isinstance(name, str) or "data" not in payload:
            self._problem(f"cell {number} has a scrap without a name or data")
            return
        encoder = payload.get("encoder")
        if encoder == "json":
            self._add(name, _unwrapped(payload["data"]), is_from_kernel=True)
        elif encoder == "text":
            self._add(name, str(payload["data"]))
        else:
            shown = f"{plain(name)[:100]!r} of cell {number}"
            self._note(f"{shown} is left out: it is encoded as {plain(str(encoder))[:50]!r}, not as JSON")

    def _add(self, name: str, value: Any, *, is_from_kernel: bool = False) -> None:
        if missing := find_missing(value, repr(plain(name)[:100]), is_from_kernel=is_from_kernel):
            self._problem(f"{missing}, which JSON does not have: report None instead")
            return
        try:
            text = json.dumps(value, allow_nan=False, separators=(",", ":"))
        except (TypeError, ValueError, RecursionError) as error:
            self._problem(f"{plain(name)[:100]!r} is not JSON: {plain(str(error))[:200]}")
            return
        try:
            check_carried(name, value)
        except ValueError as error:
            self._problem(f"{plain(name)[:100]!r} cannot be carried by Airflow: {error}")
            return
        self._store(name, text)

    def _store(self, name: str, text: str | int) -> None:
        earlier = self._texts.pop(name, 0)
        self._held -= len(earlier) if isinstance(earlier, str) else 0
        size = len(text) if isinstance(text, str) else text
        keeps = self._held + size <= self._limit * _HELD and len(self._texts) < self._limit
        if keeps or len(self._texts) <= self._limit:
            self._texts[name] = text if keeps else size
        self._held += size if keeps and isinstance(text, str) else 0

    def _problem(self, text: str) -> None:
        if len(self._problems) < _MESSAGES:
            self._problems[text] = None

    def _note(self, text: str) -> None:
        if len(self._notes) < _MESSAGES:
            self._notes[text] = None


def _unwrapped(value: Any) -> Any:
    """Read JSON in text, as scrapbook does: papermill's records contain it."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        return value

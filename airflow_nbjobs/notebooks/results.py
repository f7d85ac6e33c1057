"""What a notebook reports: values that it leaves in its outputs for whoever reads it.

- scrapbook's scraps, and papermill's records before them, under their names;
- the JSON output of a cell tagged ``xcom`` or ``result``: an object's keys are names, anything else is called
  ``result``; an output of it that cannot be read is a problem.

What is reported last under a name holds.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from airflow_nbjobs.notebooks.plain_text import plain
from airflow_nbjobs.notebooks.tagged_output import LastOutputs
from airflow_nbjobs.notebooks.xcom_limits import check_carried

__all__ = ["RESULT_TAGS", "Results"]

RESULT_TAGS = ("xcom", "result")

_SCRAP, _RECORD = "application/scrapbook.scrap.", "application/papermill.record"
_HELD = 16  # times the limit: values that are replaced later do no harm until then
_MESSAGES = 5


class Results:
    """Collects what the cells of one notebook report.

    :param limit: bytes of JSON that all values may take together.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._texts: dict[str, str | int] = {}  # a value's JSON, or the size of one that is not held
        self._held = 0
        self._problems: dict[str, None] = {}
        self._notes: dict[str, None] = {}

    def add_output(self, output: Mapping[str, Any], number: int, *, is_whole: bool) -> bool:
        """Take the scraps and records of an output, and return whether it has any.

        :param number: of the cell, for messages.
        :param is_whole: whether the output could be read whole.
        """
        reports = False
        for kind, payload in _data(output).items():
            if not kind.startswith((_SCRAP, _RECORD)):
                continue
            reports = True
            if not is_whole:
                self._problem(f"cell {number} reports a value that is too large, or no JSON that can be read")
            elif kind.startswith(_RECORD):
                self._add_record(payload, number)
            else:
                self._add_scrap(payload, number)
        return reports

    def add_cell(self, outputs: LastOutputs, number: int) -> None:
        """Take the JSON output of a cell tagged for it: of the last output that has one.

        Output that cannot be read is a problem: somebody waits for it.
        """
        if outputs.has_reported:
            return
        if outputs.is_empty:
            self._note(f"cell {number} is tagged as a result, and has no output")
            return
        try:
            values = outputs.values()
        except ValueError as error:
            self._problem(f"cell {number} is tagged as a result, and {error}")
            return
        for name, item in values.items():
            self._add(name, item)

    def values(self) -> dict[str, Any]:
        """Return the values by their names; none at all when :meth:`problem` says something."""
        if self.problem():
            return {}
        return {name: json.loads(text) for name, text in self._texts.items() if isinstance(text, str)}

    def problem(self) -> str | None:
        """Return why the values cannot be had, on one line."""
        size = sum(len(name) + (text if isinstance(text, int) else len(text)) for name, text in self._texts.items())
        if size > self._limit:
            return f"the results take {size:,} bytes of JSON, over the limit of {self._limit:,}"
        return "; ".join(self._problems) or None

    def notes(self) -> tuple[str, ...]:
        """Return what was left out although it looks like a result, each on one line."""
        return tuple(self._notes)

    def _add_record(self, payload: Any, number: int) -> None:
        if isinstance(payload, Mapping) and payload:
            name, value = next(iter(payload.items()))
            self._add(name, _unwrapped(value))
        else:
            self._problem(f"cell {number} has a record of papermill's without a name")

    def _add_scrap(self, payload: Any, number: int) -> None:
        name = payload.get("name") if isinstance(payload, Mapping) else None
        if not isinstance(name, str) or "data" not in payload:
            self._problem(f"cell {number} has a scrap without a name or data")
            return
        encoder = payload.get("encoder")
        if encoder == "json":
            self._add(name, _unwrapped(payload["data"]))
        elif encoder == "text":
            self._add(name, str(payload["data"]))
        else:
            shown = f"{plain(name)[:100]!r} of cell {number}"
            self._note(f"{shown} is left out: it is encoded as {plain(str(encoder))[:50]!r}, not as JSON")

    def _add(self, name: str, value: Any) -> None:
        try:
            text = json.dumps(value, allow_nan=False, separators=(",", ":"))
        except (TypeError, ValueError, RecursionError) as error:
            self._problem(f"{plain(name)[:100]!r} is no JSON: {plain(str(error))[:200]}")
            return
        try:
            check_carried(name, value)
        except ValueError as error:
            self._problem(f"{plain(name)[:100]!r} cannot be carried by Airflow: {error}")
            return
        self._held -= self._size(name)
        keeps = self._held + len(text) <= self._limit * _HELD and len(self._texts) <= self._limit
        self._texts.pop(name, None)
        if keeps or len(self._texts) <= self._limit:
            self._texts[name] = text if keeps else len(text)
        self._held += self._size(name)

    def _size(self, name: str) -> int:
        text = self._texts.get(name)
        return len(text) if isinstance(text, str) else 0

    def _problem(self, text: str) -> None:
        if len(self._problems) < _MESSAGES:
            self._problems[text] = None

    def _note(self, text: str) -> None:
        if len(self._notes) < _MESSAGES:
            self._notes[text] = None


def _data(output: Mapping[str, Any]) -> Mapping[str, Any]:
    data = output.get("data")
    return data if isinstance(data, Mapping) else {}


def _unwrapped(value: Any) -> Any:
    """Read JSON within text, as scrapbook does: papermill's records hold values so."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        return value

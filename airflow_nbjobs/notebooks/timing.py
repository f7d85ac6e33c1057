"""How long cells took, from what those who run notebooks leave in the metadata."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

__all__ = ["Span", "cell_span"]

# JupyterLab and nbclient note the kernel's messages under metadata.execution; the first of each that is there counts.
_STARTS = ("iopub.execute_input", "iopub.status.busy")
_ENDS = ("shell.execute_reply", "iopub.status.idle")


@dataclass(frozen=True)
class Span:
    """From when to when; the moments are unknown where only a duration was noted.

    :ivar seconds: how long.
    """

    seconds: float
    start: datetime | None = None
    end: datetime | None = None


def cell_span(metadata: Mapping[str, Any]) -> Span | None:
    """Return when a cell ran, or ``None`` where its metadata does not tell.

    Read are ``execution`` (nbclient, JupyterLab), ``papermill`` and Colab's ``executionInfo``.
    """
    execution, papermill, colab = (_mapping(metadata.get(key)) for key in ("execution", "papermill", "executionInfo"))
    span = _between(_first(execution, _STARTS), _first(execution, _ENDS))
    span = span or _between(_moment(papermill.get("start_time")), _moment(papermill.get("end_time")))
    if span is None and (milliseconds := _number(colab.get("elapsed"))) is not None:
        span = Span(milliseconds / 1000)
    return span


def _between(start: datetime | None, end: datetime | None) -> Span | None:
    if start is None or end is None or end < start:
        return None
    return Span((end - start).total_seconds(), start, end)


def _first(told: Mapping[str, Any], keys: tuple[str, ...]) -> datetime | None:
    return next((moment for key in keys if (moment := _moment(told.get(key)))), None)


def _moment(value: Any) -> datetime | None:
    try:
        moment = datetime.fromisoformat(value)
    except (TypeError, ValueError):
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _number(value: Any) -> float | None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 1e15
    return float(value) if is_number else None

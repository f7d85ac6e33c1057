"""Times of cells, as programs that run notebooks write them into the metadata."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from airflow_nbjobs.notebooks.cells import mapping

__all__ = ["Span", "cell_span"]

# JupyterLab and nbclient note the times of the kernel's messages in metadata.execution; the first that is there counts.
_STARTS = ("iopub.execute_input", "iopub.status.busy")
_ENDS = ("shell.execute_reply", "iopub.status.idle")


@dataclass(frozen=True)
class Span:
    """The time that a cell took.

    :ivar seconds: how long.
    :ivar start: when it began; ``None`` where only the duration is noted.
    :ivar end: when it ended; ``None`` likewise.
    """

    seconds: float
    start: datetime | None = None
    end: datetime | None = None


def cell_span(metadata: Mapping[str, Any]) -> Span | None:
    """Return when a cell ran, or ``None`` where its metadata does not say.

    Read are ``execution`` (nbclient, JupyterLab), ``papermill``, and ``executionInfo`` (Colab), in this order.
    """
    execution, papermill, colab = (mapping(metadata.get(key)) for key in ("execution", "papermill", "executionInfo"))
    span = _span(_first_time(execution, _STARTS), _first_time(execution, _ENDS))
    span = span or _span(_time(papermill.get("start_time")), _time(papermill.get("end_time")))
    elapsed = colab.get("elapsed")  # milliseconds
    if span is None and isinstance(elapsed, int | float) and not isinstance(elapsed, bool) and 0 <= elapsed < 1e15:
        return Span(elapsed / 1000)
    return span


def _span(start: datetime | None, end: datetime | None) -> Span | None:
    if start is None or end is None or end < start:
        return None
    return Span((end - start).total_seconds(), start, end)


def _first_time(times: Mapping[str, Any], keys: tuple[str, ...]) -> datetime | None:
    return next((found for key in keys if (found := _time(times.get(key)))), None)


def _time(value: Any) -> datetime | None:
    try:
        time = datetime.fromisoformat(value)
    except (TypeError, ValueError):
        return None
    return time if time.tzinfo else time.replace(tzinfo=UTC)

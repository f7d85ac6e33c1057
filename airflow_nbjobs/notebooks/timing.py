"""Times of cells, as programs that run notebooks write them into the metadata."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from airflow_nbjobs.notebooks.cells import mapping

__all__ = ["run_seconds", "start_time"]

# JupyterLab and nbclient note the times of the kernel's messages in metadata.execution; the first that is there counts.
_STARTS = ("iopub.execute_input", "iopub.status.busy")
_ENDS = ("shell.execute_reply", "iopub.status.idle")


def run_seconds(metadata: Mapping[str, Any]) -> float | None:
    """Return how long a cell ran, in seconds, or ``None`` where its metadata does not say.

    Read are ``execution`` (nbclient, JupyterLab), ``papermill``, and ``executionInfo`` (Colab), in this order.
    """
    execution, papermill, colab = (mapping(metadata.get(key)) for key in ("execution", "papermill", "executionInfo"))
    spans = (
        (_first_time(execution, _STARTS), _first_time(execution, _ENDS)),
        (_time(papermill.get("start_time")), _time(papermill.get("end_time"))),
    )
    for start, end in spans:
        if start and end and start <= end:
            return (end - start).total_seconds()
    elapsed = _milliseconds(colab.get("elapsed"))
    return None if elapsed is None else elapsed.total_seconds()


def start_time(metadata: Mapping[str, Any]) -> datetime | None:
    """Return when a cell was last started, also if it has not ended, or ``None`` where its metadata does not say."""
    execution, papermill, colab = (mapping(metadata.get(key)) for key in ("execution", "papermill", "executionInfo"))
    starts = [_first_time(execution, _STARTS), _time(papermill.get("start_time"))]
    end, elapsed = _milliseconds(colab.get("timestamp")), _milliseconds(colab.get("elapsed"))
    if end:
        starts.append(datetime.fromtimestamp(0, UTC) + end - (elapsed or timedelta()))
    return max((start for start in starts if start), default=None)


def _first_time(times: Mapping[str, Any], keys: tuple[str, ...]) -> datetime | None:
    return next((found for key in keys if (found := _time(times.get(key)))), None)


def _time(value: Any) -> datetime | None:
    try:
        time = datetime.fromisoformat(value)
    except (TypeError, ValueError):
        return None
    return time if time.tzinfo else time.replace(tzinfo=UTC)


def _milliseconds(value: Any) -> timedelta | None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 1e14
    return timedelta(milliseconds=value) if is_number else None

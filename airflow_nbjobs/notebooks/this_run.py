"""Which cells are of this run, and which cells keep the outputs of an earlier run."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from airflow_nbjobs.notebooks.cells import mapping
from airflow_nbjobs.notebooks.timing import start_time

__all__ = ["ThisRun"]

_CLOCK_TOLERANCE = timedelta(minutes=1)  # between the service and its machines
_ORDER_TOLERANCE = timedelta(milliseconds=100)  # a clock may be set back a little


class ThisRun:
    """Decides for each code cell, in the order of the notebook, whether it has run in this run.

    A notebook may be sent with its outputs, and a run clears the outputs of a cell when it starts the cell. Behind the
    cell that fails, and in cells that are skipped, outputs of an earlier run are left. A run starts one cell after the
    other: a cell that started before the cells above it is not of this run, nor is a cell without a time below cells
    with times. Where the notebook has no times, execution counts decide: they do not fall.

    :ivar has_times: whether a cell of this run has a time.
    :param since: when the job was created; cells that started before are not of this run.
    :param has_failed: whether the job has failed: then, without times, no cell runs after an error.
    """

    def __init__(self, since: datetime | None, *, has_failed: bool) -> None:
        self._has_failed = has_failed
        # A datetime of pendulum would lose its time zone in the subtraction.
        self._earliest = datetime.fromtimestamp(since.timestamp(), UTC) - _CLOCK_TOLERANCE if since else None
        self.has_times = self._has_ended = False
        self._last_count = 0

    def includes(self, cell: Mapping[str, Any], *, has_outputs: bool) -> bool:
        """Return whether a code cell has run in this run.

        :param has_outputs: whether the cell has outputs, which are not in ``cell``.
        """
        count = cell.get("execution_count")
        count = count if isinstance(count, int) and not isinstance(count, bool) else None
        metadata = mapping(cell.get("metadata"))
        start = start_time(metadata)
        if count is None and start is None and not has_outputs:
            # nbclient has begun such a cell, and the kernel died before it answered.
            is_included = metadata.get("execution") == {} and self._has_failed and not self._has_ended
        elif start is not None:
            is_included = self._earliest is None or start >= self._earliest
        else:
            is_included = not (self.has_times or self._has_ended) and (count is None or count >= self._last_count)
        if is_included:
            self._last_count = count or self._last_count
            if start is not None:
                self._earliest, self.has_times = start - _ORDER_TOLERANCE, True
        return is_included

    def end(self) -> None:
        """Note that the last cell has failed, with an error that it does not expect."""
        self._has_ended = self._has_failed

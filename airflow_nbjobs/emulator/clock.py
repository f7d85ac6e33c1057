"""Time as the service writes it: RFC 3339 with up to nine fractional digits, and never the same instant twice."""

from __future__ import annotations

import time
from datetime import UTC, datetime


def timestamp(nanoseconds: int) -> str:
    """Write nanoseconds since the epoch as protobuf's JSON mapping does: 0, 3, 6 or 9 fractional digits, then ``Z``."""
    seconds, fraction = divmod(nanoseconds, 10**9)
    text = datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    digits = f"{fraction:09}"
    while digits.endswith("000"):
        digits = digits[:-3]
    return f"{text}.{digits}Z" if digits else f"{text}Z"


class Clock:
    """A wall clock that always moves on, so that each change of a job has a later ``updateTime`` than the one before.

    :param after: nanoseconds since the epoch; the first reading is later than this, whatever the machine's clock says.
    """

    def __init__(self, after: int = 0) -> None:
        self._last = after

    def now(self) -> int:
        """Read the time in nanoseconds since the epoch, later than every earlier reading."""
        self._last = max(time.time_ns(), self._last + 1)
        return self._last

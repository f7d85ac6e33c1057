"""The SQLite files of a data directory, and the times in them."""

from __future__ import annotations

import re
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

_TIMESTAMP = re.compile(r"(\d{4}-\d\d-\d\d)[Tt](\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?([Zz]|[+-]\d\d:\d\d)", re.ASCII)


def open_database(path: Path, *, lock_timeout: float = 5.0) -> sqlite3.Connection:
    """Open a file, made when it does not exist. Rows have named columns; no transaction is open.

    The connection may be used in another thread than the one that opens it, by one thread at a time.

    :param lock_timeout: seconds to wait for another process's lock.
    """
    database = sqlite3.connect(path, isolation_level=None, timeout=lock_timeout, check_same_thread=False)
    database.row_factory = sqlite3.Row
    return database


@contextmanager
def transaction(database: sqlite3.Connection) -> Iterator[None]:
    """Commit what the block does, or roll all of it back when it raises."""
    database.execute("BEGIN")
    with database:
        yield


class Clock:
    """A clock that never returns the same time twice, so that each change of a job has a later ``updateTime``.

    It goes as the machine's clock does, and can be moved ahead of it or behind it.

    :param after: nanoseconds since the epoch; the first reading is later than this, whatever the machine's clock says.
    """

    def __init__(self, after: int = 0) -> None:
        self._last = after
        self._ahead = 0

    def now(self) -> int:
        """Return nanoseconds since the epoch, later than every earlier reading."""
        self._last = max(time.time_ns() + self._ahead, self._last + 1)
        return self._last

    def peek(self) -> int:
        """Return nanoseconds since the epoch, not before any reading, without counting as one."""
        return max(time.time_ns() + self._ahead, self._last)

    def move_to(self, moment: int) -> None:
        """Move the clock; it goes on from there.

        :param moment: nanoseconds since the epoch.
        :raises ValueError: if the clock was already read at a later time.
        """
        self.check_move(moment)
        self._ahead = moment - time.time_ns()

    def check_move(self, moment: int) -> None:
        """Check that the clock can be moved.

        :param moment: nanoseconds since the epoch.
        :raises ValueError: if the clock was already read at a later time.
        """
        if moment < self._last:
            raise ValueError(f"{timestamp(self._last)} was read from the clock, which does not go back before that")


def timestamp(nanoseconds: int) -> str:
    """Write nanoseconds since the epoch in RFC 3339, as protobuf's JSON mapping does: ``2026-11-30T22:44:57.125Z``."""
    seconds, fraction = divmod(nanoseconds, 10**9)
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S") + fraction_digits(fraction) + "Z"


def nanoseconds(text: str) -> int:
    """Read a time in RFC 3339, in nanoseconds since the epoch.

    :raises ValueError: when it is malformed, or no such time exists.
    """
    match = _TIMESTAMP.fullmatch(text)
    if not match:
        raise ValueError(f"not a time in RFC 3339: {text!r}")
    day, time_of_day, fraction, zone = match.groups()
    moment = datetime.fromisoformat(f"{day}T{time_of_day}{'+00:00' if zone in 'Zz' else zone}")
    return int(moment.timestamp()) * 10**9 + int((fraction or "").ljust(9, "0"))


def fraction_digits(nanoseconds: int) -> str:
    """Write a fraction of a second with 0, 3, 6 or 9 digits: ``.125`` for 125,000,000, empty for 0."""
    digits = f"{nanoseconds:09}"
    while digits.endswith("000"):
        digits = digits[:-3]
    return f".{digits}" if digits else ""

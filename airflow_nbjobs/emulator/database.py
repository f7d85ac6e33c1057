"""The SQLite files of a data directory."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["open_database", "together"]


def open_database(path: Path, *, patience: float = 5.0) -> sqlite3.Connection:
    """Open a file whose rows have named columns, outside of any transaction; it is made when it does not exist.

    One thread uses it at a time: the emulator's; the thread that opens it may be another.

    :param patience: seconds to wait for another process's lock.
    """
    database = sqlite3.connect(path, isolation_level=None, timeout=patience, check_same_thread=False)
    database.row_factory = sqlite3.Row
    return database


@contextmanager
def together(database: sqlite3.Connection) -> Iterator[None]:
    """Do everything in the block, or nothing."""
    database.execute("BEGIN")
    try:
        yield
    except BaseException:
        database.execute("ROLLBACK")
        raise
    database.execute("COMMIT")

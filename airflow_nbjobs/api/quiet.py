"""Our requests stay out of the logs: the HTTP client logs each at INFO, and a task may look at its job for hours.

So does what our libraries load: papermill loads gcsfs (2026.10), which tells every task of its experiments.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

__all__ = ["quietly"]

_is_ours: ContextVar[bool] = ContextVar("_is_ours", default=False)


class _NotOurs(logging.Filter):
    """Drops the lines of INFO about our own doing; everybody else's, and all warnings, stay."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Tell whether a record is logged."""
        return record.levelno != logging.INFO or not _is_ours.get()


for _name in ("httpx2", "gcsfs"):
    logging.getLogger(_name).addFilter(_NotOurs())


@contextmanager
def quietly() -> Iterator[None]:
    """Do what others do not log at INFO, in this thread or task."""
    token = _is_ours.set(True)
    try:
        yield
    finally:
        _is_ours.reset(token)

"""Keep INFO lines of libraries out of task logs: the HTTP client logs each request, and a task may poll for hours.

gcsfs (2026.10), which papermill loads, logs its experiments.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

__all__ = ["quietly"]

_is_quiet: ContextVar[bool] = ContextVar("_is_quiet", default=False)

for _name in ("httpx", "gcsfs"):
    logging.getLogger(_name).addFilter(lambda record: record.levelno != logging.INFO or not _is_quiet.get())


@contextmanager
def quietly() -> Iterator[None]:
    """Drop the INFO lines of httpx and gcsfs inside the block, in this thread or asyncio task only."""
    token = _is_quiet.set(True)
    try:
        yield
    finally:
        _is_quiet.reset(token)

"""Wait for something that another thread, task or process does."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any


def eventually(holds: Callable[[], Any], *, within_seconds: float = 120.0) -> Any:
    """Return the first true value of *holds*, or fail; the limit is for what never happens, on a busy machine too."""
    deadline = time.monotonic() + within_seconds
    while not (value := holds()):
        assert time.monotonic() < deadline, f"{holds} did not become true within {within_seconds} s"
        time.sleep(0.02)
    return value


async def until(holds: Callable[[], Any], *, within_seconds: float = 120.0) -> Any:
    """Do the same while the event loop goes on."""
    deadline = time.monotonic() + within_seconds
    while not (value := holds()):
        assert time.monotonic() < deadline, f"{holds} did not become true within {within_seconds} s"
        await asyncio.sleep(0.01)
    return value

"""What is measured in a process, and how a fresh process is started for each measurement."""

from __future__ import annotations

import asyncio
import json
import os
import selectors
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

PAGE = os.sysconf("SC_PAGE_SIZE")


def rss() -> int:
    """Return this process's resident memory in bytes."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE


def in_fresh_process(module: str, *arguments: str, env: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Run a module of this package by itself, and return the JSON that is its last line.

    :raises subprocess.CalledProcessError: when it fails.
    """
    done = subprocess.run(  # noqa: S603 - our own interpreter
        [sys.executable, "-m", module, *arguments],
        env={**os.environ, **(env or {})},
        check=True,
        text=True,
        stdout=subprocess.PIPE,
    )
    return dict(json.loads(done.stdout.splitlines()[-1]))


class _Selector(selectors.DefaultSelector):  # type: ignore[misc,valid-type]  # it is one class or another by platform
    """Notes when the loop was woken."""

    woken = 0.0

    def select(self, timeout: float | None = None) -> Any:
        """Wait as the base does."""
        events = super().select(timeout)
        self.woken = time.monotonic()
        return events


class TimedLoop(asyncio.SelectorEventLoop):
    """Measures each turn of the loop: while it goes on nothing else in the process gets its turn.

    It overrides a method that is not public, since nothing public tells of turns; a task that looks at the clock every
    few milliseconds would be most of the CPU time that it shares the process with.

    :ivar busy: CPU seconds of the longest turn; what other processes took from this one is not in it.
    :ivar blocked: seconds of the longest turn, with all that the machine adds.
    """

    def __init__(self) -> None:
        self._woken = _Selector()
        super().__init__(self._woken)
        self.busy = self.blocked = 0.0

    def _run_once(self) -> None:
        cpu = time.thread_time()
        super()._run_once()  # type: ignore[misc]  # as said above
        self.busy = max(self.busy, time.thread_time() - cpu)
        self.blocked = max(self.blocked, time.monotonic() - self._woken.woken)

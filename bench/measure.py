"""Measuring a process, and starting a new process for each measurement."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import resource
import selectors
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from demo.watchdog import shared_watchdog, start_watched

ROUNDS = 5
"""How often everything is measured."""

PAGE = os.sysconf("SC_PAGE_SIZE")
_ADDED_UP = {"ended", "unnoticed", "retried", "failed", "twice"}


def rss() -> int:
    """Return this process's resident memory in bytes."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE


def allow_open_files() -> None:
    """Raise the limit of open files: each of the peer's triggers has its own connection."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def in_fresh_process(module: str, *arguments: str, env: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Run a module of this package in a new process, and return its last line, as JSON.

    :raises subprocess.CalledProcessError: if it fails.
    """
    command = [sys.executable, "-m", module, *arguments]
    process = start_watched(command, env={**os.environ, **(env or {})}, text=True, stdout=subprocess.PIPE)
    try:
        output, _ = process.communicate()
    finally:
        process.kill()
        process.wait()
        shared_watchdog().forget(process.pid)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    return dict(json.loads(output.splitlines()[-1]))


def combined(runs: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return the medians of several runs; ``range`` has minimum and maximum of each key.

    Counts of ends and of failures are summed; of maxima the maximum is taken. What is not a number, and what the runs
    were asked for, is as in the first one.
    """
    found: dict[str, Any] = {**runs[0], "runs": len(runs), "range": {}}
    for key, first in runs[0].items():
        some = [run[key] for run in runs if run[key] is not None]
        if key in _ADDED_UP:
            found[key] = sum(some)
        elif isinstance(first, int | float) and key not in {"count", "interval", "changes", "settled", "budget"}:
            found[key] = max(some) if key.startswith("most_") else statistics.median(some)
            found["range"][key] = [min(some), max(some)]
    return found


class _Selector(selectors.DefaultSelector):
    """Records when the loop was woken."""

    woken = 0.0

    def select(self, timeout: float | None = None) -> Any:
        """Wait as the base does."""
        events = super().select(timeout)
        self.woken = time.monotonic()
        return events


class TimedLoop(asyncio.SelectorEventLoop):
    """Measures each turn of the loop, during which no other task of the loop runs.

    It overrides a method that is not public, since no public one measures turns; a task that looks at the clock every
    few milliseconds would be most of the CPU time that it shares the process with.

    :ivar busy: CPU seconds of the longest turn; what other processes took from this one is not in it.
    :ivar busy_uncollected: the same, less what Python's garbage collector took of each turn.
    :ivar collection: CPU seconds of its longest collection.
    :ivar blocked: seconds of the longest turn, with all that the machine adds.
    """

    def __init__(self) -> None:
        self._woken = _Selector()
        super().__init__(self._woken)
        self._thread = threading.get_ident()
        self._collected = self._collecting_since = 0.0
        gc.callbacks.append(self._note_collection)
        self.forget()

    def forget(self) -> None:
        """Start measuring again."""
        self.busy = self.busy_uncollected = self.collection = self.blocked = 0.0

    def _run_once(self) -> None:
        cpu, collected = time.thread_time(), self._collected
        super()._run_once()  # type: ignore[misc]  # as said above
        spent = time.thread_time() - cpu
        self.busy = max(self.busy, spent)
        self.busy_uncollected = max(self.busy_uncollected, spent - (self._collected - collected))
        self.blocked = max(self.blocked, time.monotonic() - self._woken.woken)

    def _note_collection(self, phase: str, _: Any) -> None:
        if threading.get_ident() != self._thread:
            return
        if phase == "start":
            self._collecting_since = time.thread_time()
        else:
            spent = time.thread_time() - self._collecting_since
            self._collected += spent
            self.collection = max(self.collection, spent)

"""End processes that would rather not be ended."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING

import psutil  # type: ignore[import-untyped] # its stubs are a package of their own

if TYPE_CHECKING:
    from collections.abc import Callable

MARK = "NBJOBS_EMULATOR_JOB"
"""The environment variable by which the processes of one job are known."""


def end_descendants(*, within_seconds: float = 5.0) -> None:
    """End every process that came from this one.

    Those that left its session are its descendants all the same. Those whose parent is gone are so where this process
    is a "subreaper" (Linux).
    """
    me = psutil.Process()
    _end_all(lambda: me.children(recursive=True), within_seconds)


def end_marked(mark: str, *, within_seconds: float = 5.0) -> None:
    """End every process of this user whose environment says that it is the job *mark*'s, whatever its parent is."""
    _end_all(lambda: [process for process in psutil.process_iter() if _carries(process, mark)], within_seconds)


def _end_all(find: Callable[[], list[psutil.Process]], within_seconds: float) -> None:
    """Stop all, then kill all, until none is found: a program that forks for ever cannot outrun that."""
    deadline = time.monotonic() + within_seconds
    while (found := _running(find())) and time.monotonic() < deadline:
        stopped: set[psutil.Process] = set()
        while (fresh := found - stopped) and time.monotonic() < deadline:
            for process in fresh:
                with contextlib.suppress(psutil.Error):
                    process.suspend()
            stopped |= fresh
            found = _running(find())
        for process in stopped:
            with contextlib.suppress(psutil.Error):
                process.kill()
        psutil.wait_procs(stopped, timeout=0.5)


def _running(processes: list[psutil.Process]) -> set[psutil.Process]:
    return {process for process in processes if _is_running(process)}


def _is_running(process: psutil.Process) -> bool:
    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return False


def _carries(process: psutil.Process, mark: str) -> bool:
    try:
        return bool(process.environ().get(MARK) == mark)
    except (psutil.Error, OSError):  # gone, a zombie, or another user's
        return False

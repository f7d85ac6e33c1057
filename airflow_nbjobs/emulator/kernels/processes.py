"""End all processes of a job, also those that try to escape."""

from __future__ import annotations

import contextlib
import ctypes
import signal
import sys
import time
from collections.abc import Callable, Iterable

import psutil

_PR_SET_PDEATHSIG = 1
_END_SECONDS = 5.0
MARK = "NBJOBS_EMULATOR_JOB"
"""The environment variable that marks the processes of one job."""


def end_with_parent_hook() -> Callable[[], object] | None:
    """Return a ``preexec_fn`` by which Linux kills a child when its parent ends, however that happens; else None.

    A kernel looks for its parent itself, but not while it computes in C, and other kernels than Python's do not.
    """
    if sys.platform != "linux":
        return None
    prctl = ctypes.CDLL(None).prctl  # loaded before the fork: the child may only call it
    return lambda: prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def end_descendants() -> None:
    """End every descendant of this process.

    They include those in another session, and orphans where this process is a "subreaper" (Linux).
    """
    me = psutil.Process()
    _end_all(lambda: me.children(recursive=True))


def end_marked(mark: str) -> None:
    """End every process of this user whose environment has this :data:`MARK`."""
    _end_all(lambda: _where(psutil.process_iter(), lambda each: each.environ().get(MARK) == mark))


def _end_all(find: Callable[[], Iterable[psutil.Process]]) -> None:
    """Stop all, then kill all, until none is found: this also ends a program that forks endlessly."""
    deadline = time.monotonic() + _END_SECONDS
    while (found := _where(find(), _is_running)) and time.monotonic() < deadline:
        stopped: set[psutil.Process] = set()
        while (fresh := found - stopped) and time.monotonic() < deadline:
            for process in fresh:
                with contextlib.suppress(psutil.Error):
                    process.suspend()
            stopped |= fresh
            found = _where(find(), _is_running)
        for process in stopped:
            with contextlib.suppress(psutil.Error):
                process.kill()
        psutil.wait_procs(stopped, timeout=0.5)


def _where(processes: Iterable[psutil.Process], holds: Callable[[psutil.Process], bool]) -> set[psutil.Process]:
    found = set()
    for process in processes:
        with contextlib.suppress(psutil.Error, OSError):  # gone, a zombie, or another user's
            if holds(process):
                found.add(process)
    return found


def _is_running(process: psutil.Process) -> bool:
    return bool(process.status() != psutil.STATUS_ZOMBIE)

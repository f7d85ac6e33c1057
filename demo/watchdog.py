"""End processes when the process that started them has ended, for any reason.

A signal such as SIGKILL ends a process before it can stop its child processes. This module runs as another process.
Its standard input is a pipe from the watched process: it reads the ids of sessions, and the pipe ends together with
that process.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from functools import cache
from pathlib import Path
from typing import Any

GRACE_SECONDS = 3.0
"""How long a session may take to end after SIGTERM."""


class Watchdog:
    """Watches this process, and ends the sessions that it has started."""

    def __init__(self) -> None:
        reading, self._pipe = os.pipe()
        # A new session: Ctrl-C in the terminal, and signals to the group, do not reach the watchdog.
        call = [sys.executable, "-I", "-S", __file__]
        self._process = subprocess.Popen(call, stdin=reading, start_new_session=True)  # noqa: S603 - this file
        os.close(reading)

    def add(self, session: int) -> None:
        """Watch a session, by the id of its first process."""
        os.write(self._pipe, b"+%d\n" % session)

    def forget(self, session: int) -> None:
        """Stop watching a session whose processes have all ended: its id may be reused."""
        os.write(self._pipe, b"-%d\n" % session)

    def stop(self) -> None:
        """End the watchdog, and the sessions that are left."""
        os.close(self._pipe)
        self._process.wait()


@cache
def shared_watchdog() -> Watchdog:
    """Return the watchdog of this process for all that has none of its own."""
    return Watchdog()


def start_watched(command: list[str], **options: Any) -> subprocess.Popen[Any]:
    """Start a process in a session of its own, which ends when this process ends.

    Pass its id to :meth:`Watchdog.forget` of :func:`shared_watchdog` when it has ended.

    :param options: of :class:`subprocess.Popen`.
    """
    process = subprocess.Popen(command, start_new_session=True, **options)  # noqa: S603 - our own programs
    shared_watchdog().add(process.pid)
    return process


def _signal(sessions: set[int], number: signal.Signals) -> bool:
    """Send a signal to all processes of the sessions, and return whether there were any."""
    found = False
    for session in sessions:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(session, number)
            found = True
    for stat in Path("/proc").glob("[0-9]*/stat"):  # those in other process groups; on Linux
        with contextlib.suppress(OSError, ValueError, IndexError):
            if int(stat.read_text().rpartition(")")[2].split()[3]) in sessions:
                os.kill(int(stat.parent.name), number)
                found = True
    return found


def main() -> None:
    """Read sessions until the pipe ends, then end them."""
    sessions: set[int] = set()
    for line in sys.stdin:
        (sessions.add if line.startswith("+") else sessions.discard)(int(line[1:]))
    deadline = time.monotonic() + GRACE_SECONDS
    if _signal(sessions, signal.SIGTERM):
        while time.monotonic() < deadline and _signal(sessions, signal.SIGCONT):
            time.sleep(0.1)
        _signal(sessions, signal.SIGKILL)


if __name__ == "__main__":
    main()

"""End processes when the process that started them has ended, however it has ended.

A signal that Python does not handle, SIGKILL above all, ends a process before it can stop what it has started. This
module runs as a process of its own, whose standard input is a pipe from the process that is watched: it reads the ids
of sessions, and the end of the pipe is the end of that process.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

GRACE_SECONDS = 3.0
"""How long a session may take to end by itself after SIGTERM."""


class Watchdog:
    """Watches this process on behalf of the sessions that it has started."""

    def __init__(self) -> None:
        reading, self._pipe = os.pipe()
        # A session of its own: Ctrl-C in the terminal and a signal to the group are not for the watchdog.
        call = [sys.executable, "-I", "-S", __file__]
        self._process = subprocess.Popen(call, stdin=reading, start_new_session=True)  # noqa: S603 - this file
        os.close(reading)

    def add(self, session: int) -> None:
        """Watch a session, by the id of its first process."""
        os.write(self._pipe, b"+%d\n" % session)

    def forget(self, session: int) -> None:
        """Watch a session no longer: all its processes have ended, and its id may be given to another."""
        os.write(self._pipe, b"-%d\n" % session)

    def stop(self) -> None:
        """End the watchdog, and what is left of the sessions."""
        os.close(self._pipe)
        self._process.wait()


def _signal(sessions: set[int], number: signal.Signals) -> bool:
    """Send a signal to all processes of sessions, and return whether there were any (SIGCONT does no harm)."""
    found = False
    for session in sessions:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(session, number)
            found = True
    for stat in Path("/proc").glob("[0-9]*/stat"):  # those with a process group of their own; on Linux
        with contextlib.suppress(OSError, ValueError, IndexError):
            if int(stat.read_text().rpartition(")")[2].split()[3]) in sessions:
                os.kill(int(stat.parent.name), number)
                found = True
    return found


def main() -> None:
    """Read sessions until the pipe ends, and end them."""
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

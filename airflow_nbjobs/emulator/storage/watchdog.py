"""Run a command that must end with the process that started it.

``python watchdog.py <command> …`` starts the command, and ends it when standard input ends, which also happens when the
starter was killed. It is started as a script, by its path: it imports nothing of this package.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading

_PR_SET_PDEATHSIG = 1
_SIGKILL = 9


def main(command: list[str]) -> int:
    """Run *command* and return its exit code."""
    on_linux = sys.platform == "linux"
    # For the case that this process itself is killed. It has one thread when it forks, as preexec_fn requires.
    before = _die_with_parent if on_linux else None
    child = subprocess.Popen(command, stdin=subprocess.DEVNULL, preexec_fn=before)  # noqa: S603 - our own command

    def wait_for_end_of_input() -> None:
        while os.read(0, 1_024):
            pass
        child.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(2)
        child.kill()

    threading.Thread(target=wait_for_end_of_input, daemon=True).start()
    return child.wait()


def _die_with_parent() -> None:
    import ctypes

    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, _SIGKILL, 0, 0, 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

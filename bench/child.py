"""A child process that reads and writes lines."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from types import TracebackType
from typing import Self

from demo.watchdog import shared_watchdog, start_watched


class Child:
    """A module of this package, run by itself until the block is left.

    :param module: its name.
    :param env: environment variables over our own.
    """

    def __init__(self, module: str, *arguments: str, env: Mapping[str, str] | None = None) -> None:
        self._module = module
        self._process = start_watched(
            [sys.executable, "-m", module, *arguments],
            env={**os.environ, **(env or {})},
            text=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )

    def say(self, text: str = "") -> None:
        """Send a line."""
        print(text, file=self._process.stdin, flush=True)

    def hear(self, word: str = "") -> str:
        """Return the rest of its next line that begins with a word; other lines are logs.

        :raises RuntimeError: if it has ended instead.
        """
        while line := self._process.stdout.readline() if self._process.stdout else "":
            if line.startswith(word):
                return line.removeprefix(word).strip()
        raise RuntimeError(f"{self._module} ended too early")

    def __enter__(self) -> Self:
        """Start the process."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Stop the process."""
        self._process.kill()
        self._process.communicate()
        shared_watchdog().forget(self._process.pid)

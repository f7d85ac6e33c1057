"""What a command prints: its result on standard output, everything else on standard error."""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
import warnings
from collections.abc import Iterator

__all__ = ["Console", "printable", "quiet_airflow"]


def printable(text: str) -> str:
    """Return a text for a terminal: control characters are escaped as in JSON, except line breaks and tabs."""
    if text.replace("\n", " ").isprintable():
        return text
    return "".join(each if each.isprintable() or each in "\n\t" else json.dumps(each)[1:-1] for each in text)


@contextlib.contextmanager
def quiet_airflow() -> Iterator[None]:
    """Keep the output of Airflow and of DAG files away from standard output, and hide their logs and warnings.

    Airflow configures its logs when it is imported: enter this first. ``AIRFLOW__LOGGING__LOGGING_LEVEL`` shows the
    logs, ``PYTHONWARNINGS`` the warnings.
    """
    os.environ.setdefault("AIRFLOW__LOGGING__LOGGING_LEVEL", "CRITICAL")
    # As Airflow's own commands do, so that connections and variables are looked up in its database too.
    os.environ.setdefault("_AIRFLOW_PROCESS_CONTEXT", "server")
    with contextlib.redirect_stdout(sys.stderr), warnings.catch_warnings():
        if not sys.warnoptions:
            warnings.simplefilter("ignore")
        yield


class Console:
    """A logger that prints to standard error. Secrets that Airflow knows are masked.

    :param is_timed: start each line with the time since this object was created, as ``1:05``.
    """

    def __init__(self, *, is_timed: bool = False) -> None:
        self._began = time.monotonic() if is_timed else None

    def info(self, message: str, *values: object) -> None:
        """Print a message."""
        self._print(message, values)

    def warning(self, message: str, *values: object) -> None:
        """Print a message after ``warning:``."""
        self._print(f"warning: {message}", values)

    def error(self, message: str, *values: object) -> None:
        """Print a message after ``error:``."""
        self._print(f"error: {message}", values)

    def _print(self, message: str, values: tuple[object, ...]) -> None:
        from airflow_nbjobs.secrecy import masked

        elapsed = ""
        if self._began is not None:
            minutes, seconds = divmod(int(time.monotonic() - self._began), 60)
            elapsed = f"{minutes}:{seconds:02} "
        print(f"{elapsed}{masked(message % values if values else message)}", file=sys.stderr, flush=True)

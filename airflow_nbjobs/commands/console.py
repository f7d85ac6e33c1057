"""What a command says: its result on the standard output, all else as lines on the standard error."""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
import warnings
from collections.abc import Iterator
from typing import Any

__all__ = ["Console", "airflow_kept_quiet", "printable"]


def printable(text: str) -> str:
    """Return a text for a terminal: characters that do something there are escaped as in JSON, which stays JSON."""
    if text.replace("\n", " ").isprintable():
        return text
    return "".join(each if each.isprintable() or each in "\n\t" else json.dumps(each)[1:-1] for each in text)


@contextlib.contextmanager
def airflow_kept_quiet() -> Iterator[None]:
    """Keep what Airflow and DAG files print out of the standard output; a command's own lines are not logs.

    To be entered before Airflow is imported: it sets up its logs then. ``AIRFLOW__LOGGING__LOGGING_LEVEL`` shows them,
    and ``PYTHONWARNINGS`` warnings, most of which Airflow gives of itself.
    """
    os.environ.setdefault("AIRFLOW__LOGGING__LOGGING_LEVEL", "CRITICAL")
    # As Airflow's own commands do, so that connections and variables are looked up in its database too.
    os.environ.setdefault("_AIRFLOW_PROCESS_CONTEXT", "server")
    with contextlib.redirect_stdout(sys.stderr), warnings.catch_warnings():
        if not sys.warnoptions:
            warnings.simplefilter("ignore")
        yield


class Console:
    """Stands in for an operator's logger, for a person at a terminal.

    :param is_timed: begin each line with the time since this object was made, as ``1:05``.
    """

    def __init__(self, *, is_timed: bool = False) -> None:
        self._began = time.monotonic() if is_timed else None

    def info(self, message: str, *values: object) -> None:
        """Tell how things go."""
        self._tell(message, values)

    def warning(self, message: str, *values: object) -> None:
        """Tell what may be wrong."""
        self._tell(f"warning: {message}", values)

    def error(self, message: str, *values: object) -> None:
        """Tell what is wrong."""
        self._tell(f"error: {message}", values)

    def debug(self, message: str, *values: object, **_: Any) -> None:
        """Tell nothing: that is for logs."""

    def exception(self, message: str, *values: object, **_: Any) -> None:
        """Tell nothing: the command tells the exception itself, without a traceback."""

    def _tell(self, message: str, values: tuple[object, ...]) -> None:
        from airflow.providers.common.compat.sdk import redact

        minutes, seconds = divmod(int(time.monotonic() - self._began), 60) if self._began is not None else (0, 0)
        when = "" if self._began is None else f"{minutes}:{seconds:02} "
        print(f"{when}{redact(message % values if values else message)}", file=sys.stderr, flush=True)

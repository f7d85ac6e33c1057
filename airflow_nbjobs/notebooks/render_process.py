"""Rendering in a separate process, which ends when it takes too long or too much memory.

Some HTML, Markdown and code takes quadratic time to read. A thread cannot be stopped in it, and holds up all others.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from airflow_nbjobs.exceptions import RenderError
from airflow_nbjobs.notebooks.render import Theme
from airflow_nbjobs.notebooks.sizes import Limits, amount

__all__ = ["MEMORY_BYTES", "PAGE", "PLAINER", "REFUSED", "SECONDS", "environment", "render"]

SECONDS = 45.0
"""How long one rendering may take."""
MEMORY_BYTES = 2 * 10**9
"""How much memory it may take."""
PLAINER = (Limits.seconds, 0.0)
"""After how many seconds a rendering shows the rest as plain text: the first one, and the second if that is ended."""
PAGE = "page.html"
"""The name of the file that the process writes."""
REFUSED = 3
"""The exit code if the notebook cannot be rendered; standard error says why."""

_VARIABLES = ("HOME", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "PATH", "TMPDIR", "TZ")
_OF_WINDOWS = ("SYSTEMROOT", "TEMP", "TMP", "USERPROFILE")


def render(
    content: bytes,
    *,
    theme: Theme = "light",
    failed_cell: int | None = None,
    title: str = "Notebook",
    seconds: float = SECONDS,
    memory_bytes: int = MEMORY_BYTES,
) -> bytes:
    """Return a notebook as one safe HTML document in UTF-8.

    A rendering that reaches a limit is ended. The next one shows as plain text what is formatted in the notebook.

    :param content: as of :func:`~airflow_nbjobs.notebooks.render.to_html`, like the next three.
    :param theme: as above.
    :param failed_cell: as above.
    :param title: as above.
    :param seconds: how long each of the two may take.
    :param memory_bytes: how much memory each may take.
    :raises RenderError: if the second reaches a limit too; also as :func:`~airflow_nbjobs.notebooks.render.to_html`.
    """
    for plain_after in PLAINER:
        request = {"theme": theme, "failed_cell": failed_cell, "title": title, "seconds": plain_after}
        with contextlib.suppress(_Ended):
            return _render(content, {**request, "memory_bytes": memory_bytes}, seconds)
    raise RenderError(
        f"Rendering the notebook takes more than {seconds:g} seconds or {amount(memory_bytes)} of memory. Download it "
        "and open it in JupyterLab."
    )


class _Ended(Exception):  # noqa: N818 - it is handled here
    """A rendering took too long or too much memory."""


def _render(content: bytes, request: Mapping[str, Any], seconds: float) -> bytes:
    try:
        with tempfile.TemporaryDirectory(prefix="nbjobs-") as folder:
            notebook = Path(folder, "notebook.ipynb")
            notebook.write_bytes(content)
            done = subprocess.run(
                [sys.executable, "-P", "-m", "airflow_nbjobs.notebooks.page_files"],
                input=json.dumps({**request, "notebook": str(notebook), "folder": folder}).encode(),
                capture_output=True,
                timeout=seconds,
                check=False,
                env=environment(),
            )
            if done.returncode == 0:
                return Path(folder, PAGE).read_bytes()
    except subprocess.TimeoutExpired:
        raise _Ended from None
    except OSError as error:
        raise RenderError(f"The notebook could not be rendered: {error.strerror}.") from error
    printed = done.stderr.decode(errors="replace").strip()
    if done.returncode == REFUSED:
        raise RenderError(printed)
    if done.returncode < 0 or "MemoryError" in printed:
        raise _Ended
    why = printed.splitlines()[-1] if printed else "no reason given"
    raise RenderError(f"The notebook could not be rendered: {why}.")


def environment() -> dict[str, str]:
    """Return the environment of a process that renders; ``python -P`` keeps the working directory out.

    It has the modules of this process, and no secrets: those of Airflow and of the notebooks' services are in the
    environment of this process, and the other one reads what anybody may have written.
    """
    kept = {name: os.environ[name] for name in (*_VARIABLES, *_OF_WINDOWS) if name in os.environ}
    return {**kept, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}

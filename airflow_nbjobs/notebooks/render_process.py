"""Rendering in a process of its own, which ends when it takes too long or too much memory.

Some HTML, Markdown and code takes quadratic time to read. A thread cannot be stopped in it, and holds up all others.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from typing import BinaryIO

from airflow_nbjobs.exceptions import RenderError
from airflow_nbjobs.notebooks.render import Theme, to_html
from airflow_nbjobs.notebooks.sizes import amount

__all__ = ["environment", "render"]

_REFUSED = 3
_VARIABLES = ("HOME", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "PATH", "TMPDIR", "TZ")
_OF_WINDOWS = ("SYSTEMROOT", "TEMP", "TMP", "USERPROFILE")
_WHAT_TO_DO = "Download it and open it in JupyterLab."


def render(
    content: bytes,
    *,
    theme: Theme = "light",
    failed_cell: int | None = None,
    title: str = "Notebook",
    seconds: float = 60.0,
    memory_bytes: int = 2 * 2**30,
) -> bytes:
    """Return a notebook as one safe HTML document in UTF-8.

    :param content: as of :func:`~airflow_nbjobs.notebooks.render.to_html`, like the next three.
    :param theme: as above.
    :param failed_cell: as above.
    :param title: as above.
    :param seconds: how long rendering may take.
    :param memory_bytes: how much memory the process may take.
    :raises RenderError: if a limit is reached; also as :func:`~airflow_nbjobs.notebooks.render.to_html`.
    """
    options = {"theme": theme, "failed_cell": failed_cell, "title": title}
    request = json.dumps({"options": options, "memory_bytes": memory_bytes, "seconds": seconds}).encode()
    try:
        done = subprocess.run(  # noqa: S603 - our own module
            [sys.executable, "-P", "-m", __name__],
            input=request + b"\n" + content,
            capture_output=True,
            timeout=seconds,
            check=False,
            env=environment(),
        )
    except subprocess.TimeoutExpired:
        raise RenderError(f"The notebook took more than {seconds:g} seconds to render. {_WHAT_TO_DO}") from None
    except OSError as error:
        raise RenderError(f"The process that renders the notebook could not be started: {error.strerror}.") from error
    if done.returncode == 0:
        return done.stdout
    said = done.stderr.decode(errors="replace").strip()
    if done.returncode == _REFUSED:
        raise RenderError(said)
    if done.returncode < 0 or "MemoryError" in said:
        raise RenderError(f"The notebook takes more than {amount(memory_bytes)} of memory to render. {_WHAT_TO_DO}")
    raise RenderError(f"The notebook could not be rendered: {said.splitlines()[-1] if said else 'no reason given'}.")


def environment() -> dict[str, str]:
    """Return the environment of a process that renders; ``python -P`` keeps the working directory out.

    It has the modules of this process, and no secrets: those of Airflow and of the notebooks' services are in the
    environment of this process, and the other one reads what anybody may have written.
    """
    kept = {name: os.environ[name] for name in (*_VARIABLES, *_OF_WINDOWS) if name in os.environ}
    return {**kept, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}


def _main(source: BinaryIO, target: BinaryIO) -> int:
    request = json.loads(source.readline())
    with contextlib.suppress(ImportError, ValueError, OSError):  # Windows; a lower limit is set already
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (request["memory_bytes"],) * 2)
    try:
        html = to_html(source.read(), **request["options"])
    except RenderError as error:
        print(error, file=sys.stderr)
        return _REFUSED
    target.write(html.encode(errors="replace"))
    return 0


if __name__ == "__main__":
    sys.exit(_main(sys.stdin.buffer, sys.stdout.buffer))

"""The time from an executed notebook to its HTML document, beside plain nbconvert."""

from __future__ import annotations

import base64
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from airflow_nbjobs.notebooks.render_process import PAGE
from bench.measure import combined, in_fresh_process

_ROWS = "".join(f"<tr><th>{n}</th>{'<td>12.345</td>' * 6}</tr>" for n in range(20))
_TABLE = f'<div><table border="1" class="dataframe"><tbody>{_ROWS}</tbody></table></div>'
_CODE = (
    "frame = load('orders')\nfor region, part in frame.groupby('region'):\n    print(region, part['revenue'].sum())\n"
)
_PICTURE_BYTES = 40_000


_ROUNDS = {"1 MB": 3, "a picture of 10 MB": 3, "5,000 cells": 1, "50 MB": 1}
"""How often each notebook is rendered in each way: nbconvert takes long for some."""


def measure() -> Iterator[list[dict[str, Any]]]:
    """Yield the rows, one more each time."""
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        for what, rounds in _ROUNDS.items():
            # In small processes: Linux counts the memory of a process that starts another one as the other's too.
            size = in_fresh_process("bench.rendering", "make", what, folder)
            runs = [in_fresh_process("bench.rendering", "render", what, folder) for _ in range(rounds)]
            rows.append(combined([{"what": what, **size, **run} for run in runs]))
            yield rows


def main(act: str, what: str, folder: str) -> None:
    """Make a notebook, or render it in both ways, and print the measurements."""
    notebook = Path(folder, "notebook.ipynb")
    if act == "make":
        print(json.dumps({"bytes": notebook.write_bytes(_made(what))}))
    else:
        print(json.dumps(_both(notebook, Path(folder))))


def _made(what: str) -> bytes:
    """Return the notebook of that name."""
    match what:
        case "1 MB":
            return _notebook(1_000_000)
        case "50 MB":
            return _notebook(50_000_000)
        case "5,000 cells":
            return _as_file([_code_cell({"output_type": "stream", "name": "stdout", "text": "a line\n"})] * 5_000)
        case _:
            return _as_file([_code_cell(_shown({"image/png": _picture(10_000_000)}))])


def _notebook(size: int) -> bytes:
    """Return a notebook of text, code, printed lines, tables and pictures, of about this many bytes."""
    section = [
        {
            "cell_type": "markdown",
            "metadata": {},
            "source": "## Region\n\nOrders **by day**, see [wiki](https://x.example).\n",
        },
        _code_cell({"output_type": "stream", "name": "stdout", "text": "a line of the log\n" * 50}),
        _code_cell(_shown({"text/html": _TABLE, "text/plain": "a table"})),
        _code_cell(_shown({"image/png": _picture(_PICTURE_BYTES), "text/plain": "<Figure size 640x480>"})),
    ]
    return _as_file(section * max(1, size // len(_as_file(section))))


def _code_cell(output: dict[str, Any]) -> dict[str, Any]:
    return {"cell_type": "code", "metadata": {}, "execution_count": 1, "source": _CODE, "outputs": [output]}


def _shown(data: dict[str, str]) -> dict[str, Any]:
    return {"output_type": "display_data", "metadata": {}, "data": data}


def _picture(size: int) -> str:
    return base64.b64encode(b"\x89PNG\r\n\x1a\n" + random.Random(1).randbytes(size)).decode()  # noqa: S311 - no secret


def _as_file(cells: list[dict[str, Any]]) -> bytes:
    numbered = [{**cell, "id": f"c{number}"} for number, cell in enumerate(cells)]
    return json.dumps({"cells": numbered, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}).encode()


def _both(notebook: Path, folder: Path) -> dict[str, float]:
    """Render once in each way, the one after the other."""
    ours = _ours(notebook, folder)
    options = ["--log-level", "ERROR", "--output-dir", str(folder), "--output", "theirs"]
    theirs = _timed(["-m", "nbconvert", "--to", "html", str(notebook), *options])
    sizes = {"our_html": (folder / PAGE).stat().st_size, "their_html": (folder / "theirs.html").stat().st_size}
    found = {f"{whose}_{key}": run[key] for whose, run in (("our", ours), ("their", theirs)) for key in run}
    return {**found, **sizes, **{f"ratio_{key}": ours[key] / theirs[key] for key in ours}}


def _ours(notebook: Path, folder: Path) -> dict[str, float]:
    request = {"notebook": str(notebook), "folder": str(folder)}
    return _timed(["-m", "airflow_nbjobs.notebooks.page_files"], json.dumps(request).encode())


def _timed(arguments: list[str], said: bytes = b"") -> dict[str, float]:
    """Run Python, and return the seconds by the clock, the CPU seconds, and the most memory in MB."""
    begun = time.monotonic()
    process = subprocess.Popen([sys.executable, *arguments], stdin=subprocess.PIPE)  # noqa: S603 - our own interpreter
    assert process.stdin is not None  # noqa: S101 - a pipe was asked for
    process.stdin.write(said)
    process.stdin.close()
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, process.args)
    return {
        "seconds": time.monotonic() - begun,
        "cpu_seconds": used.ru_utime + used.ru_stime,
        "mb": used.ru_maxrss * 1024 / 1e6,
    }


if __name__ == "__main__":
    main(*sys.argv[1:])

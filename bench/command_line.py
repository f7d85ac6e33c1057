"""One small notebook from the command line: `nbjobs run` and papermill, in turns."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import nbformat

from airflow_nbjobs.emulator import Emulator
from bench.measure import combined

CELLS = ("print('hello')", "{'area': 3 ** 2}")
# Each side and its arguments for Python. As the console scripts do it, but for their search of the entry point.
_NBJOBS = ("-c", "from airflow_nbjobs.cli import main; raise SystemExit(main())", "run", "two.ipynb")
# papermill loads gcsfs and pyarrow where they are installed, as beside the Google provider.
_ALONE = (
    "import sys; sys.modules.update(gcsfs=None, pyarrow=None); from papermill.__main__ import papermill; papermill()"
)
COMMANDS: dict[str, tuple[str, ...]] = {
    "papermill": ("-m", "papermill", "two.ipynb", "executed.ipynb"),
    "papermill alone": ("-c", _ALONE, "two.ipynb", "executed.ipynb"),
    "run": _NBJOBS,
    "local": (*_NBJOBS, "--local"),
}


def measure(rounds: int) -> dict[str, dict[str, Any]]:
    """Run the notebook in each way, in turns, and return the medians.

    :returns: for each side ``cpu_seconds`` and ``seconds`` of its processes, and of each over papermill's of the same
        round.
    """
    found: dict[str, list[dict[str, float]]] = {side: [] for side in COMMANDS}
    with tempfile.TemporaryDirectory() as folder, Emulator(cleanup_seconds=0.0) as emulator:
        _write_notebook(Path(folder, "two.ipynb"))
        for number in range(rounds + 1):  # the first of each reads from disk and compiles
            for side, row in _round(folder, emulator.env):
                if number:
                    found[side].append(row)
    return {side: combined(rows) for side, rows in found.items()}


def _write_notebook(file: Path) -> None:
    python = {"name": "python3", "display_name": "Python 3", "language": "python"}
    cells = [nbformat.v4.new_code_cell(source) for source in CELLS]
    nbformat.write(nbformat.v4.new_notebook(metadata={"kernelspec": python}, cells=cells), file)


def _round(folder: str, emulator: Mapping[str, str]) -> Iterator[tuple[str, dict[str, float]]]:
    of_papermill: dict[str, float] = {}
    for side, arguments in COMMANDS.items():
        row = _run(arguments, folder, emulator if side == "run" else {})
        of_papermill = of_papermill or row
        yield side, {**row, **{f"{name}_over": row[name] / of_papermill[name] for name in row}}


def _run(arguments: tuple[str, ...], folder: str, variables: Mapping[str, str]) -> dict[str, float]:
    """Return the CPU seconds of a command and the processes that it has started and waited for, and its seconds.

    :raises RuntimeError: if it fails.
    """
    begun = time.perf_counter()
    process = subprocess.Popen(  # noqa: S603 - our own interpreter
        [sys.executable, *arguments],
        cwd=folder,
        env={**os.environ, **variables},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    _, status, used = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - begun
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"python {' '.join(arguments)} failed with exit code {process.returncode}")
    return {"cpu_seconds": used.ru_utime + used.ru_stime, "seconds": seconds}

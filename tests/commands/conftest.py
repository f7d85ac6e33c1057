"""The command as a process, against an emulator that runs kernels."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat
import pytest

from airflow_nbjobs.emulator import Emulator

NBJOBS = [sys.executable, "-c", "from airflow_nbjobs.cli import main; raise SystemExit(main())"]
SQUARE = nbformat.v4.new_notebook(
    metadata={"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}},
    cells=[
        nbformat.v4.new_code_cell("side = 1\nday = None", metadata={"tags": ["parameters"]}, id="defaults"),
        nbformat.v4.new_code_cell("print('the side is', side)", id="print"),
        nbformat.v4.new_code_cell("{'area': side ** 2}", metadata={"tags": ["result"]}, id="area"),
    ],
)

Command = Callable[..., subprocess.CompletedProcess[str]]


def written(path: Path, *sources: str) -> Path:
    """Write the notebook of squares with further cells."""
    more = [nbformat.v4.new_code_cell(source, id=f"more-{number}") for number, source in enumerate(sources)]
    nbformat.write(nbformat.v4.new_notebook(metadata=SQUARE.metadata, cells=[*SQUARE.cells, *more]), path)
    return path


@pytest.fixture
def nbjobs(nbjobs_emulator: Emulator, tmp_path: Path) -> Command:
    """Return what runs a command to its end, in a folder of its own; variables set to ``None`` are taken away."""

    def run(*arguments: Any, **variables: str | None) -> subprocess.CompletedProcess[str]:
        environment = {key: value for key, value in {**os.environ, **variables}.items() if value is not None}
        call = [*NBJOBS, *map(str, arguments)]
        done = subprocess.run(
            call, capture_output=True, text=True, check=False, timeout=180, cwd=tmp_path, env=environment
        )
        assert not any(line.startswith("Traceback") for line in done.stderr.splitlines()), done.stderr
        return done

    return run

"""The command ``nbjobs`` as a process, with an emulator that runs kernels."""

from __future__ import annotations

import os
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import pytest

from airflow_nbjobs.emulator import Emulator
from tests.support.commands import NBJOBS, Command, Running, Start


@pytest.fixture
def start(nbjobs_emulator: Emulator, tmp_path: Path) -> Start:
    """Return a function that starts a command in a new folder; variables that are ``None`` are unset."""

    def running(*arguments: Any, **variables: str | None) -> Running:
        environment = {key: value for key, value in {**os.environ, **variables}.items() if value is not None}
        return Running([*map(str, arguments)], tmp_path, environment, Path(tempfile.mkdtemp(dir=tmp_path)))

    return running


@pytest.fixture
def nbjobs(start: Start) -> Command:
    """Return a function that starts a command and waits for its end."""
    return lambda *arguments, **variables: start(*arguments, **variables).end()


@pytest.fixture
def nbjobs_alone(nbjobs_emulator: Emulator, tmp_path: Path) -> Command:
    """Return a function that runs a command in a new interpreter, which loads everything in the command's own order."""

    def run(*arguments: Any) -> subprocess.CompletedProcess[str]:
        call = [*NBJOBS, *map(str, arguments)]
        return subprocess.run(call, capture_output=True, text=True, check=False, timeout=180, cwd=tmp_path)

    return run

"""The command ``nbjobs`` as a process that starts in no time: forked from one that has loaded what it needs."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import nbformat

_LOADED = multiprocessing.get_context("forkserver")
_LOADED.set_forkserver_preload(["tests.support.preloaded"])
_SECONDS = 180

NBJOBS = [sys.executable, "-c", "from airflow_nbjobs.cli import main; raise SystemExit(main())"]
SQUARE = nbformat.v4.new_notebook(
    metadata={"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}},
    cells=[
        nbformat.v4.new_code_cell("side = 1\nday = None", metadata={"tags": ["parameters"]}, id="defaults"),
        nbformat.v4.new_code_cell("print('the side is', side)", id="print"),
        nbformat.v4.new_code_cell("{'area': side ** 2}", metadata={"tags": ["result"]}, id="area"),
    ],
)


class Running:
    """A command at work.

    :param folder: the working folder.
    :param variables: the environment, complete.
    :param notes: a folder of its own for what it prints.
    """

    def __init__(self, arguments: Sequence[str], folder: Path, variables: dict[str, str], notes: Path) -> None:
        self._arguments = arguments
        self._files = [notes / "stdout", notes / "stderr"]
        self._process = _LOADED.Process(target=_work, args=(arguments, folder, variables, self._files))
        self._process.start()

    def told(self) -> str:
        """Return what it has told so far: its standard error."""
        return self._files[1].read_text() if self._files[1].exists() else ""

    def send(self, number: signal.Signals) -> None:
        """Send it a signal."""
        assert self._process.pid is not None
        os.kill(self._process.pid, number)

    def end(self) -> subprocess.CompletedProcess[str]:
        """Wait for its end; one that does not end is killed."""
        self._process.join(_SECONDS)
        code = self._process.exitcode
        if code is None:
            self._process.kill()
            self._process.join()
        printed, told = (file.read_text() for file in self._files)
        assert code is not None, f"{self._arguments} did not end: {told}"
        assert not any(line.startswith("Traceback") for line in told.splitlines()), told
        return subprocess.CompletedProcess(self._arguments, code, printed, told)


Start = Callable[..., Running]
Command = Callable[..., subprocess.CompletedProcess[str]]


def written(path: Path, *sources: str) -> Path:
    """Write the notebook of squares with further cells."""
    more = [nbformat.v4.new_code_cell(source, id=f"more-{number}") for number, source in enumerate(sources)]
    nbformat.write(nbformat.v4.new_notebook(metadata=SQUARE.metadata, cells=[*SQUARE.cells, *more]), path)
    return path


def _work(arguments: Sequence[str], folder: Path, variables: dict[str, str], files: Sequence[Path]) -> None:
    os.environ.clear()
    os.environ.update(variables)
    os.chdir(folder)
    for number, file in enumerate(files, 1):
        os.dup2(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND), number)
    from airflow_nbjobs.cli import main

    raise SystemExit(main(arguments))

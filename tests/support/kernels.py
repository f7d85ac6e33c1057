"""Notebooks run by the emulator's runner, without the emulator."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import nbformat
import psutil

from airflow_nbjobs.emulator.kernels.runner import Ended, KernelRunner

NOTEBOOKS = Path(__file__).parent.parent / "emulator/kernels/notebooks"


def cells(*sources: str, **metadata: Any) -> bytes:
    """Return a notebook of these code cells."""
    made = [nbformat.v4.new_code_cell(source) for source in sources]
    return nbformat.writes(nbformat.v4.new_notebook(metadata=metadata, cells=made)).encode()


def run(
    scratch: Path, *sources: str | bytes, timeout: float = 60, kernel: str | None = None, **environment: str
) -> Ended:
    """Run a notebook: its cells, its bytes, or the name of a file of :data:`NOTEBOOKS`."""
    first = sources[0] if sources else ""
    if isinstance(first, bytes):
        notebook = first
    elif first.endswith(".ipynb"):
        notebook = (NOTEBOOKS / first).read_bytes()
    else:
        notebook = cells(*sources)
    runner = KernelRunner(scratch=scratch, environment={"NBJOBS_TEST": str(scratch), **environment})
    ended = asyncio.run(runner.run(notebook, kernel_name=kernel, timeout_seconds=timeout))
    assert list(scratch.iterdir()) == []
    assert processes_of(scratch) == []
    if ended.notebook is not None:
        nbformat.validate(nbformat.reads(ended.notebook.decode(), as_version=nbformat.NO_CONVERT))
    return ended


def outputs(ended: Ended) -> list[list[dict[str, Any]]]:
    """Return the outputs of each code cell."""
    notebook = nbformat.reads(ended.notebook.decode(), as_version=4)
    return [cell.outputs for cell in notebook.cells if cell.cell_type == "code"]


def texts(ended: Ended) -> list[str]:
    """Return what each code cell printed or returned."""
    return [
        "".join(out.get("text") or out["data"]["text/plain"] for out in cell if "ename" not in out)
        for cell in outputs(ended)
    ]


def processes_of(scratch: Path) -> list[psutil.Process]:
    """Return the processes that were started for jobs of *scratch*, by their environment."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get("NBJOBS_TEST") == str(scratch):
                found.append(process)
        except psutil.Error:
            continue
    return found


def is_gone(pid: int) -> bool:
    """Say whether a process has ended."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True

"""Notebooks that nobody here wrote run too: those by which nbclient, papermill and jupytext test themselves.

Their source distributions carry them, with the outputs that are expected. They are downloaded once, into pytest's
cache.
"""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import nbformat
import pytest

from airflow_nbjobs.emulator.kernels.runner import Ended, KernelRunner
from airflow_nbjobs.notebooks.document import dump, inject, load
from tests.support.foreign import SOURCES

RUN = ["nbclient", "papermill"]  # jupytext's are in forty languages, and meant to be converted

# Every notebook of a package is run, but these.
LEFT_OUT = {
    "Inline Image": "it reads a file that lies beside it",
    "JupyterWidgets": "it needs ipywidgets",
    "Output": "it needs ipywidgets",
    "Interrupt": "it sleeps until nbclient's own test interrupts it",
    "keyboard_interrupt": "it sleeps until a person interrupts it",
    "Parallel Execute A": "it waits for its neighbour, through a variable of nbclient's own test",
    "Parallel Execute B": "it waits for its neighbour, through a variable of nbclient's own test",
    "binder": "it runs papermill in a checkout of papermill",
    "gcs-simple_notebook": "it sleeps 10 s and tries to crash its kernel through a C library",
    "test_logging": "it needs ggplot, which does not install any more",
}
# These are meant to fail, or do without the parameters that papermill gives them.
FAILURES = {
    "Autokill": "The kernel died while cell 1 was running.",
    "Disable Stdin": "Cell 1 failed: StdinNotImplementedError: ",
    "Error": "Cell 1 failed: ZeroDivisionError: division by zero",
    "Skip Exceptions": "Cell 1 failed: Exception: message",
    "broken": "Cell 1 failed: SyntaxError: ",
    "broken1": "Cell 2 failed: AssertionError",
    "broken2": "Cell 2 failed: ImportError: ",
    "complex_parameters": "Cell 1 failed: SyntaxError: ",
    "line_magic_error": "Cell 1 failed: UsageError: ",
    "read_check": "Cell 2 failed: AssertionError",
    "sysexit": "Cell 2 failed: SystemExit",
    "sysexit0": "Cell 2 failed: SystemExit: 0",
    "sysexit1": "Cell 2 failed: SystemExit: 1",
    "systemexit": "Cell 2 failed: SystemExit",
}
OTHER_OUTPUTS = {"test_autosave": "its outputs were saved by an older version of itself"}
# These have a cell tagged `parameters`, and print what becomes of them.
GIVEN: dict[str, tuple[dict[str, Any], str]] = {
    "simple_execute": ({"msg": 'it\'s "quoted",\nünïcode\\'}, 'it\'s "quoted",\nünïcode\\\n'),
    "s3-simple_notebook": ({"msg": ["a", {"b": None}]}, "['a', {'b': None}]\n"),
    "report_mode_test": ({"a": 40, "b": 2.5}, "42.5\n"),
    "nb_version_4.4": ({"var": True}, "True\n"),
}


@pytest.mark.parametrize("package", RUN)
def test_another_projects_notebooks_run(package: str, downloads: Path, tmp_path: Path) -> None:
    folder = downloads / f"{package}-{SOURCES[package]}"
    paths = [path for path in sorted(folder.rglob("*.ipynb")) if path.stem not in LEFT_OUT]
    assert len(paths) >= 15
    runner = KernelRunner(scratch=tmp_path, environment={})
    at_once = asyncio.Semaphore(3)

    async def run(source: bytes) -> Ended:
        async with at_once:
            # Several of them ask for kernels of other machines.
            return await runner.run(source, kernel_name="python3", timeout_seconds=120)

    async def run_all() -> list[Ended]:
        return await asyncio.gather(*(run(_source(path)) for path in paths))

    problems = [_problem(path, ended) for path, ended in zip(paths, asyncio.run(run_all()), strict=True)]
    assert [problem for problem in problems if problem] == []


def _source(path: Path) -> bytes:
    """Return a notebook, with parameters if it takes some."""
    content = path.read_bytes()
    return dump(inject(load(content, path.name), GIVEN[path.stem][0])) if path.stem in GIVEN else content


def _problem(path: Path, ended: Ended) -> str | None:
    """Say how a run differs from what is expected of it."""
    if path.stem in FAILURES:
        as_expected = not ended.ok and ended.message.startswith(FAILURES[path.stem])
        return None if as_expected else f"{path.name}: {ended}"
    if not ended.ok or ended.notebook is None:
        return f"{path.name}: {ended.message}"
    expected, actual = _outputs(path.read_text(encoding="utf-8")), _outputs(ended.notebook.decode())
    if path.stem in GIVEN:
        expected = [[{"output_type": "stream", "name": "stdout", "text": GIVEN[path.stem][1]}]]
        actual = [outputs for outputs in actual if outputs]
    if any(expected) and expected != actual and path.stem not in OTHER_OUTPUTS:
        return f"{path.name}: {expected} became {actual}"
    return None


def _outputs(notebook: str) -> list[list[dict[str, Any]]]:
    cells = nbformat.reads(notebook, as_version=4).cells
    return [[_normal(output) for output in cell.outputs] for cell in cells if cell.cell_type == "code"]


def _normal(output: dict[str, Any]) -> dict[str, Any]:
    """Take out of an output what differs between two runs, machines or versions of Python."""
    kept = {key: value for key, value in output.items() if key not in {"metadata", "execution_count", "traceback"}}
    if "data" in kept:
        kept["data"] = {kind: _normal_data(kind, value) for kind, value in kept["data"].items()}
    return kept


def _normal_data(kind: str, value: Any) -> Any:
    if kind == "image/svg+xml":
        return ET.canonicalize(value, strip_text=True)
    return re.sub(r"0x[0-9a-f]{4,}", "<address>", value).strip() if isinstance(value, str) else value


def _run(path: Path, parameters: Mapping[str, Any], more: str, scratch: Path, **variables: str) -> list[dict[str, Any]]:
    """Run a notebook with parameters and one more cell in the kernel that it names, and return its outputs."""
    notebook = inject(load(path.read_bytes(), path.name), parameters)
    cell = {"cell_type": "code", "execution_count": None, "metadata": {}, "outputs": [], "source": more}
    notebook.cells.append(nbformat.from_dict(cell))
    runner = KernelRunner(scratch=scratch, environment={"HOME": str(scratch), **variables})
    ended = asyncio.run(runner.run(dump(notebook), kernel_name=None, timeout_seconds=120))
    assert ended.ok, ended
    assert ended.notebook is not None
    return [output for outputs in _outputs(ended.notebook.decode()) for output in outputs]


def test_a_notebook_of_bash_uses_its_parameters(downloads: Path, tmp_path: Path) -> None:
    """It shows the log of a repository: of the one that the parameter names, not that of the environment."""
    kernels, repository = tmp_path / "kernels", tmp_path / "it's here"
    subprocess.run([sys.executable, "-m", "bash_kernel.install", "--prefix", kernels], check=True, capture_output=True)
    who = ["-c", "user.name=test", "-c", "user.email=test@example.com"]
    for command in (
        ["init", str(repository)],
        [*who, "-C", str(repository), "commit", "--allow-empty", "-m", "a canary"],
    ):
        subprocess.run(["git", *command], check=True, capture_output=True)  # noqa: S607
    (path,) = (downloads / f"jupytext-{SOURCES['jupytext']}").rglob("sample_bash_notebook.ipynb")
    given = {"GIT_DIR": str(repository / ".git"), "text": 'a "quoted" $word\\', "number": 42}
    kernel = {"JUPYTER_PATH": str(kernels / "share" / "jupyter"), "GIT_DIR": "/nowhere"}
    log, told = _run(path, given, 'echo "$text $((number + 1))"', tmp_path, **kernel)
    assert "a canary" in log["text"]
    assert told["text"] == 'a "quoted" $word\\ 43\n'


@pytest.mark.debian
def test_a_notebook_of_r_uses_its_parameters(downloads: Path, tmp_path: Path) -> None:
    """It plots what is called `cars`, which R has data for."""
    (path,) = (downloads / f"jupytext-{SOURCES['jupytext']}").rglob("ir_notebook.ipynb")
    given = {"cars": {"x": [1, 2], "y": [3, 4.5]}, "text": 'a "quoted" $word\\'}
    total, plot, told = _run(path, given, "cat(length(cars$x), cars$y[[2]], text)", tmp_path)
    assert (total["data"]["text/plain"], "image/png" in plot["data"]) == ("[1] 55", True)
    assert told["text"] == '2 4.5 a "quoted" $word\\'

"""``nbjobs run --local``: a notebook on an emulator for one run, and ``--output``."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path
from typing import Any

import nbformat
import psutil
import pytest

from airflow_nbjobs.emulator import Emulator
from tests.support.commands import Command, Start, written
from tests.support.kernels import is_gone
from tests.support.waiting import eventually

UNSET: dict[str, str | None] = {"NBJOBS_EMULATOR_HOST": None, "STORAGE_EMULATOR_HOST": None}


def printed(notebook: Path) -> list[str]:
    """Return what the cells of an executed notebook printed, and the classes of their errors."""
    cells = nbformat.read(notebook, as_version=4).cells
    return [output.get("text", output.get("ename")) for cell in cells for output in cell.get("outputs", ())]


def named(progress: str) -> list[str]:
    """Return the command's own lines that name a place of the executed notebook, without the time."""
    lines = re.findall(r"^\d+:\d\d (.*)", progress, re.MULTILINE)
    return [line for line in lines if re.search("gs://|http://|xecuted notebook", line)]


def python_with(folder: Path, *packages: str) -> Path:
    """Make a virtual environment that sees these folders of packages, and return its Python."""
    venv.create(folder, symlinks=True, with_pip=False)
    (site,) = folder.glob("lib/python*/site-packages")
    (site / "others.pth").write_text("\n".join(packages))
    return folder / "bin" / "python"


def test_a_file_is_run_with_nothing_set_up(tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("NBJOBS", "STORAGE"))}
    notebook = written(tmp_path / "square.ipynb")
    before = notebook.read_bytes()
    program = (
        "import sys; from airflow_nbjobs.cli import main; code = main(['run', 'square.ipynb', '--local']); "
        "print(code, [name for name in sys.modules if name.partition('.')[0] == 'airflow'])"
    )
    how: Any = {"capture_output": True, "text": True, "cwd": tmp_path, "env": {**environment, "TMPDIR": str(tmp_path)}}
    done = subprocess.run([sys.executable, "-c", program], check=True, timeout=180, **how)
    *results, end = done.stdout.splitlines()
    assert (json.loads("".join(results)), end) == ({"area": 1}, "0 []")
    assert printed(tmp_path / "square.executed.ipynb")[0] == "the side is 1\n"
    assert named(done.stderr) == ["The executed notebook is in square.executed.ipynb."]
    assert notebook.read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["square.executed.ipynb", "square.ipynb"]


def test_a_failed_notebook_leaves_the_executed_one(nbjobs: Command, tmp_path: Path) -> None:
    notebook = written(tmp_path / "bad.ipynb", "1/0")
    done = nbjobs("run", notebook, "--local", "-p", "side:=2", **UNSET)
    assert (done.returncode, done.stdout) == (1, "")
    assert "ZeroDivisionError: division by zero" in done.stderr.splitlines()[-1]
    assert printed(tmp_path / "bad.executed.ipynb")[-1] == "ZeroDivisionError"
    assert named(done.stderr) == [f"The executed notebook is in {tmp_path}/bad.executed.ipynb."]


def test_unusable_results_name_no_place_that_has_ended(nbjobs: Command, tmp_path: Path) -> None:
    notebook = written(tmp_path / "vague.ipynb")
    paper = nbformat.read(notebook, as_version=4)
    paper.cells[2].source = "print('1\\n2')"
    nbformat.write(paper, notebook)
    done = nbjobs("run", notebook, "--local", **UNSET)
    assert done.returncode == 1
    assert "Failed to read the results" in done.stderr
    assert named(done.stderr) == [f"The executed notebook is in {tmp_path}/vague.executed.ipynb."]


def test_variables_that_name_other_places_are_left_out(nbjobs: Command, tmp_path: Path) -> None:
    gone = "http://127.0.0.1:1"
    elsewhere = {"NBJOBS_EMULATOR_HOST": gone, "STORAGE_EMULATOR_HOST": gone, "NBJOBS_LOCATION": "mars/evil"}
    done = nbjobs("run", written(tmp_path / "square.ipynb"), "--local", "--output", tmp_path / "out.ipynb", **elsewhere)
    assert (done.returncode, json.loads(done.stdout)) == (0, {"area": 1})
    assert printed(tmp_path / "out.ipynb")[0] == "the side is 1\n"


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_the_emulator_and_the_kernel(
    start: Start, tmp_path: Path, number: signal.Signals, code: int
) -> None:
    (tmp_path / "tmp").mkdir()
    noted = tmp_path / "kernel"
    source = f"import os, pathlib, time; pathlib.Path({str(noted)!r}).write_text(str(os.getpid())); time.sleep(300)"
    notebook = written(tmp_path / "long.ipynb", source)
    running = start("run", notebook, "--local", **UNSET, TMPDIR=str(tmp_path / "tmp"))
    try:
        kernel = psutil.Process(int(eventually(lambda: noted.exists() and noted.read_text(), within_seconds=60)))
        children = kernel.parent().parent().children(recursive=True)
        running.send(number)
    finally:
        done = running.end()
    assert (done.returncode, done.stdout) == (code, "")
    assert kernel in children
    assert not [each for each in children if not is_gone(each.pid)]
    assert list((tmp_path / "tmp").iterdir()) == []


def test_the_executed_notebook_of_any_emulator_is_written_with_output(
    nbjobs: Command, nbjobs_emulator: Emulator, tmp_path: Path
) -> None:
    nbjobs_emulator.upload("gs://shared/square.ipynb", written(tmp_path / "square.ipynb").read_bytes())
    done = nbjobs("run", "gs://shared/square.ipynb", "--output", "out.ipynb")
    assert (done.returncode, json.loads(done.stdout)) == (0, {"area": 1})
    assert printed(tmp_path / "out.ipynb")[0] == "the side is 1\n"
    assert done.stderr.splitlines()[-1].endswith("The executed notebook is in out.ipynb.")


def test_a_notebook_runs_in_the_python_that_is_named(nbjobs: Command, tmp_path: Path) -> None:
    python = python_with(tmp_path / "other", sysconfig.get_paths()["purelib"])
    notebook = written(tmp_path / "where.ipynb")
    paper = nbformat.read(notebook, as_version=4)
    paper.cells[2].source = "import sys; {'prefix': sys.prefix}"
    nbformat.write(paper, notebook)
    done = nbjobs("run", "where.ipynb", "--local", "--kernel-python", "other/bin/python", **UNSET)
    assert (done.returncode, json.loads(done.stdout)) == (0, {"prefix": str(python.parent.parent)})


def test_a_python_without_ipykernel_is_refused(nbjobs: Command, tmp_path: Path) -> None:
    python = python_with(tmp_path / "bare")
    done = nbjobs("run", written(tmp_path / "square.ipynb"), "--local", "--kernel-python", python, **UNSET)
    assert (done.returncode, done.stdout) == (2, "")
    assert "No module named 'ipykernel'. Install ipykernel there: " in done.stderr


WRONG = {
    "not a file": (["gs://b/x.ipynb", "--local"], "--local runs a file, and 'gs://b/x.ipynb' is not one."),
    "a place": (
        ["square.ipynb", "--local", "--location", "us-central1", "--gcp-conn-id", "mine"],
        "Leave out --location, --gcp-conn-id, or --local.",
    ),
    "a job that outlives it": (["square.ipynb", "--local", "--kill", "leave"], "Leave out --kill leave, or --local."),
    "a Python for another emulator": (["square.ipynb", "--kernel-python", "python"], "--kernel-python needs --local."),
    "no such Python": (["square.ipynb", "--local", "--kernel-python", "none"], "cannot be run: No such file"),
    "the notebook itself": (["square.ipynb", "--output", "./square.ipynb"], "is the notebook itself."),
    "no folder": (["square.ipynb", "--local", "--output", "none/x.ipynb"], "cannot be written to 'none': "),
    "a folder": (["square.ipynb", "--output", "."], "cannot be written to '.': it is a folder."),
}


@pytest.mark.parametrize("kind", WRONG)
def test_what_does_not_fit_exits_with_2(nbjobs: Command, nbjobs_emulator: Emulator, tmp_path: Path, kind: str) -> None:
    written(tmp_path / "square.ipynb")
    arguments, words = WRONG[kind]
    done = nbjobs("run", *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert words in done.stderr
    assert nbjobs_emulator.requests().get("create") is None

"""A notebook goes in; the executed notebook and how it ended come out."""

from __future__ import annotations

import asyncio
import json
from functools import partial

import nbformat
import psutil
import pytest

from airflow_nbjobs.emulator.kernels.runner import Ended, KernelRunner
from tests.support import kernels
from tests.support.kernels import cells, outputs, texts

NOT_JSON = "The file is not a notebook: it is not JSON"


@pytest.fixture
def run(tmp_path):
    return partial(kernels.run, tmp_path / "scratch")


def test_a_notebook_is_executed(run):
    ended = run("ok.ipynb")
    assert (ended.ok, ended.message) == (True, "")
    assert texts(ended) == ["five numbers\n", "", "10"]
    notebook = nbformat.reads(ended.notebook.decode(), as_version=4)
    assert [cell.get("execution_count") for cell in notebook.cells] == [None, 1, None, 2]
    timing = notebook.cells[3].metadata.execution
    assert timing["iopub.execute_input"] <= timing["shell.execute_reply"]
    assert notebook.metadata.language_info.name == "python"


def test_a_failing_cell_ends_the_job_and_keeps_earlier_outputs(run):
    """Cells are counted as Jupyter counts them: the markdown cell before it does not count."""
    ended = run("raises.ipynb")
    assert (ended.ok, ended.message) == (False, "Cell 2 failed: ZeroDivisionError: division by zero")
    assert texts(ended) == ["before\n", "", ""]
    assert outputs(ended)[1][0]["ename"] == "ZeroDivisionError"


def test_an_error_that_the_notebook_expects_is_a_success(run):
    ended = run("expected_error.ipynb")
    assert ended.ok
    assert texts(ended)[1] == "after\n"
    allowed = cells("1 / 0", "print('after')").replace(b'"metadata": {}', b'"metadata": {"tags": ["raises-exception"]}')
    assert run(allowed).ok


@pytest.mark.parametrize(
    ("notebook", "message"),
    [
        (b"# This is Markdown", f"{NOT_JSON} (Expecting value: line 1 column 1 (char 0))."),
        (b'{"nbformat": 99}', "The notebook's nbformat 99 is unknown here; known are 1, 2, 3, 4."),
        (b"[]", "The file is not a notebook: it is JSON, but has no nbformat number."),
        (b"", f"{NOT_JSON} (Expecting value: line 1 column 1 (char 0))."),
        (b"\xff\xfe\xfd", NOT_JSON),
        (b"[" * 200_000, f"{NOT_JSON} ("),
        (b'{"nbformat": true, "cells": []}', "The file is not a notebook: it is JSON, but has no nbformat number."),
        (b'{"nbformat": 4, "cells": 7}', "The file is not a valid notebook of nbformat 4: "),
        (b'{"nbformat": 3, "worksheets": "x"}', "The file is not a valid notebook of nbformat 3: "),
        (b'{"nbformat": 4, "metadata": {}}', "The file is not a valid notebook of nbformat 4: "),
        (b'{"nbformat": 4, "metadata": {}, "cells": [7]}', "The file is not a valid notebook of nbformat 4: "),
    ],
    ids=repr,
)
def test_a_file_that_is_not_a_notebook_fails_the_job(run, notebook, message):
    ended = run(notebook)
    assert not ended.ok
    assert ended.message.startswith(message)
    assert len(ended.message) <= 1200
    assert ended.notebook is None


def test_an_old_notebook_is_converted(run):
    cell = {"cell_type": "code", "input": "print('old but well')", "language": "python", "metadata": {}, "outputs": []}
    sheets = [{"metadata": {}, "cells": [cell]}]
    old = {"nbformat": 3, "nbformat_minor": 0, "metadata": {"name": ""}, "worksheets": sheets}
    ended = run(json.dumps(old).encode())
    assert ended.ok
    assert texts(ended) == ["old but well\n"]


def test_a_missing_kernel_is_named_with_the_existing_ones(run):
    ended = run("no_kernel.ipynb")
    assert ended.message.startswith("There is no kernel named 'nope' on this machine; it has: ")
    assert "python3" in ended.message
    assert "the job's kernel_name, or else the notebook's metadata.kernelspec: set kernel_name" in ended.message
    assert ended.notebook is None
    assert run("no_kernel.ipynb", kernel="python3").ok
    assert run("ok.ipynb", kernel="nope").message.startswith(
        "There is no kernel named 'nope' on this machine; it has: "
    )


def test_a_kernel_that_does_not_start_gives_its_reason(run, tmp_path):
    folder = tmp_path / "jupyter" / "kernels" / "broken"
    folder.mkdir(parents=True)
    argv = '["python", "-c", "import sys; sys.exit(\\"no such library\\")", "{connection_file}"]'
    (folder / "kernel.json").write_text(f'{{"argv": {argv}, "display_name": "Broken", "language": "python"}}')
    ended = run("1", kernel="broken", JUPYTER_PATH=str(tmp_path / "jupyter"))
    assert (ended.ok, ended.message) == (False, "The kernel 'broken' did not start: no such library")


def test_a_notebook_without_cells_is_a_success(run):
    assert run() == Ended(ok=True, message="", notebook=run().notebook)


def test_displayed_data_is_kept(run):
    kept = outputs(run("widgets.ipynb"))[0]
    assert kept[1]["data"]["text/html"] == "<b>bold</b>"
    assert kept[0]["data"]["application/vnd.jupyter.widget-view+json"]["model_id"] == "x"


def test_unusual_text_is_kept(run):
    """A lone surrogate cannot be written as UTF-8, and reaches the kernel's answer as its escape."""
    ended = run("unicode.ipynb")
    assert ended.ok
    assert texts(ended)[0].startswith("日本語 ünïcödé 🎈\n")
    assert outputs(ended)[1][0]["text"] == "\x1b[31mred\x1b[0m"
    assert run("print('\\ud800')").notebook is not None


def test_an_error_is_readable_in_a_status(run):
    ended = run("raise ValueError('\\x1b[31mred\\x1b[0m\\x00 ' + 'x' * 1_000_000)")
    assert ended.message.startswith("Cell 1 failed: ValueError: red xxx")
    assert len(ended.message) < 1_200
    assert ended.notebook is not None
    assert len(ended.notebook) < 500_000


def test_a_job_that_takes_too_long_keeps_its_output(run):
    ended = run("print(1)", "print('before', flush=True)\nimport time; time.sleep(600)", timeout=8)
    assert ended.message == "The notebook did not finish within 8 s; it was ended while cell 2 was running."
    assert texts(ended) == ["1\n", "before\n"]


def test_a_job_gets_a_clean_environment(run, monkeypatch):
    monkeypatch.setenv("AIRFLOW__CORE__FERNET_KEY", "secret")
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", "/secret.json")
    ended = run("import os; print(sorted(os.environ)); print(os.environ['GIVEN'], os.listdir())", GIVEN="yes")
    assert "yes []" in texts(ended)[0]
    assert "AIRFLOW" not in texts(ended)[0]
    assert "CREDENTIALS" not in texts(ended)[0]


async def test_jobs_run_side_by_side(tmp_path):
    """Each cell waits for the other's file: one after the other they would wait for ever."""
    meet = (
        f"import pathlib, time\nhere = pathlib.Path({str(tmp_path)!r})\n(here / '{{}}').touch()\n"
        "while not (here / '{}').exists(): time.sleep(0.01)"
    ).replace("{{}}", "{}")
    runner = KernelRunner(scratch=tmp_path / "scratch", environment={})
    sources = [cells(meet.format("a", "b")), cells(meet.format("b", "a"))]
    both = await asyncio.gather(*(runner.run(source, kernel_name=None, timeout_seconds=60) for source in sources))
    assert [ended.ok for ended in both] == [True, True]


def test_a_scratch_path_may_be_long(tmp_path):
    """A Unix socket's path has 107 characters at most."""
    runner = KernelRunner(scratch=tmp_path / ("x" * 100) / ("y" * 100), environment={})
    assert asyncio.run(runner.run(cells("1"), kernel_name=None, timeout_seconds=60)).ok


def test_nothing_is_left_open(run):
    run("1")
    files, children = psutil.Process().num_fds(), set(psutil.Process().children())
    run("1")
    assert psutil.Process().num_fds() <= files  # another test's emulator may close some meanwhile
    assert set(psutil.Process().children()) <= children


@pytest.mark.parametrize(
    ("end", "error"),
    [
        ("sys.exit(0)", ": 0"),
        ("sys.exit()", ":"),
        ("raise SystemExit", ":"),
        ("sys.exit(3)", ": 3"),
        ("sys.exit('why')", ": why"),
    ],
)
def test_sys_exit_fails_the_job_whatever_its_code(run, end, error):
    """Nbclient reports an error; docs/assumptions.md says why the emulator does not take 0 for a success."""
    ended = run(f"import sys\n{end}", "print('not run')")
    assert (ended.ok, ended.message) == (False, f"Cell 1 failed: SystemExit{error}")
    assert texts(ended)[1] == ""

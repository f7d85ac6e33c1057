"""The blocks of the pages: Python and console run here, unless a remark says why not; then they are only parsed."""

from __future__ import annotations

import argparse
import ast
import contextlib
import io
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import nbformat
import pytest

from airflow_nbjobs.cli import parser
from airflow_nbjobs.emulator import Emulator
from demo.airflow_processes import free_port
from tests.support.building import code, notebook

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "SECURITY.md", *(ROOT / "docs").rglob("*.md")])
REASONS = {"it needs Google Cloud", "it installs packages", "it takes minutes", "it runs until Ctrl-C"}
BASH = shutil.which("bash") or "bash"
TOOLS = {"airflow", "curl", "gcloud", "make", "nbjobs", "pip", "python", "source"}


@dataclass(frozen=True)
class Block:
    """One block of a page.

    :ivar reason: why it is not run; empty if it is.
    """

    page: str
    number: int
    language: str
    body: str
    reason: str

    @property
    def script(self) -> str:
        """The commands of a console, without what they print."""
        lines = re.findall(r"^[$>] ?(.*)", self.body, re.MULTILINE)
        return "\n".join(lines)

    def __str__(self) -> str:
        return f"{self.page}-{self.number}"


def blocks() -> list[Block]:
    form = re.compile(r"^(?:<!-- not run: ([^>]+) -->\n)?```(\w+)\n(.*?)^```", re.DOTALL | re.MULTILINE)
    found = []
    for page in PAGES:
        for number, match in enumerate(form.finditer(page.read_text())):
            found.append(Block(str(page.relative_to(ROOT)), number, match[2], match[3], match[1] or ""))
    return found


PYTHON = [block for block in blocks() if block.language == "python"]
CONSOLE = [block for block in blocks() if block.language == "console"]
TESTS = [block for block in PYTHON if "nbjobs_emulator" in block.body]
RUN = sorted({block.page for block in CONSOLE if not block.reason})


def test_the_blocks_are_found() -> None:
    assert len(PYTHON) > 15
    assert len(CONSOLE) > 25
    assert {block.reason for block in CONSOLE} == {*REASONS, ""}
    assert {block.reason for block in PYTHON} == {""}
    assert [block for block in blocks() if block.language in {"bash", "sh", "shell", "pycon"}] == []


@pytest.mark.parametrize("block", [block for block in PYTHON if block not in TESTS], ids=str)
def test_python_of_a_page_runs(block: Block) -> None:
    if "RetryPolicy" in block.body and not find_spec("airflow.sdk.definitions.retry_policy"):
        pytest.skip("of Airflow 3.3 and later")
    exec(compile(block.body, str(block), "exec"), {})  # noqa: S102 - our own pages


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Make a folder with the notebooks and DAGs that the pages name."""
    shutil.copytree(ROOT / "example_dags", tmp_path / "example_dags")
    cells = [code("day = ''", "parameters"), code("print({'visits': 42})", "result")]
    nbformat.write(notebook(*cells), tmp_path / "report.ipynb")
    front = next(block for block in PYTHON if block.page == "README.md")
    dag = front.body.replace("deferrable=True", "deferrable=True,\n        poll_interval=0.5")
    (tmp_path / "daily_report.py").write_text(dag)
    return tmp_path


def variables(folder: Path, dags: Path) -> dict[str, str]:
    """Return the environment of a new Airflow."""
    own = [str(Path(sys.executable).parent), os.environ["PATH"]]
    home = folder / "airflow"
    return {
        **os.environ,
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__DAGS_FOLDER": str(dags),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home}/airflow.db",
        "AIRFLOW__LOGGING__LOGGING_LEVEL": "ERROR",
        "PATH": os.pathsep.join(own),
        "PYTHONPATH": str(ROOT),
        "PYTHONWARNINGS": "ignore",
    }


def run(command: list[str], folder: Path, environment: dict[str, str]) -> None:
    with (folder / "printed").open("w") as printed:
        process = subprocess.Popen(
            command, cwd=folder, env=environment, stdout=printed, stderr=subprocess.STDOUT, start_new_session=True
        )
        code = process.wait()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)  # what a failed script has left
    assert code == 0, (folder / "printed").read_text()


def test_tests_of_the_pages_pass(folder: Path) -> None:
    """They run the DAG of the README."""
    for number, block in enumerate(TESTS):
        (folder / f"test_{number}.py").write_text(block.body)
    environment = {name: value for name, value in variables(folder, folder).items() if not name.startswith("PYTEST_")}
    environment["PYTHONPATH"] = os.pathsep.join([str(ROOT), str(folder)])
    run([sys.executable, "-m", "airflow", "db", "migrate"], folder, environment)
    run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *sorted(map(str, folder.glob("test_*.py")))],
        folder,
        environment,
    )
    assert len(TESTS) > 3


@pytest.mark.parametrize("page", RUN)
def test_consoles_of_a_page_run(page: str, folder: Path, nbjobs_emulator: Emulator) -> None:
    nbjobs_emulator.upload("gs://my-bucket/report.ipynb", (folder / "report.ipynb").read_bytes())
    ours = [block for block in CONSOLE if block.page == page and not block.reason]
    script = "\n".join(block.script for block in ours)
    if "airflow " in script:
        script = f"airflow db migrate\nairflow dags reserialize\n{script}"
    for port in re.findall(r"127\.0\.0\.1:(\d+)", script):  # another emulator may run on this machine
        script = script.replace(f"127.0.0.1:{port}", f"127.0.0.1:{free_port()}")
    first, *others = re.findall(r"NBJOBS_EMULATOR_HOST=\S+:(\d+) STORAGE_EMULATOR_HOST=\S+:(\d+)", script) or [None]
    assert not others
    if first:
        script = script.replace("nbjobs emulator", f"nbjobs emulator --port {first[0]} --storage-port {first[1]}")
        script = script.replace("curl --silent", "curl --silent --fail")
    environment = variables(folder, folder / "example_dags")
    if first:
        environment = {name: value for name, value in environment.items() if "EMULATOR_HOST" not in name}
    run([BASH, "-euo", "pipefail", "-c", script], folder, environment)


@pytest.mark.parametrize("block", CONSOLE, ids=str)
def test_commands_of_a_page_are_understood(block: Block) -> None:
    subprocess.run([BASH, "-n", "-c", block.script], check=True)
    for line in re.findall(r"^ *(\w[^#\n]*)", block.script.replace("\\\n", ""), re.MULTILINE):
        for words in commands(line):
            tool, *arguments = words
            if tool == "nbjobs":
                understood(parser(), arguments)
            elif tool == "airflow":
                understood(airflow_parser(), arguments)
            elif tool == "make":
                targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
                assert arguments[0] in targets


def commands(line: str) -> list[list[str]]:
    """Split a line at ``&&`` and ``&``, and return those commands that begin with a tool that is known here."""
    parts: list[list[str]] = [[]]
    for word in shlex.split(line):
        if word in {"&&", "&", ";"}:
            parts.append([])
        else:
            parts[-1].append(word)
    return [words for words in parts if words and words[0] in TOOLS]


def understood(found: argparse.ArgumentParser, arguments: list[str]) -> None:
    printed = io.StringIO()
    with contextlib.redirect_stderr(printed):
        try:
            found.parse_args(arguments)
        except SystemExit:
            pytest.fail(printed.getvalue())


def airflow_parser() -> argparse.ArgumentParser:
    from airflow.cli.cli_parser import get_parser

    return get_parser()


def test_python_files_beside_the_pages_are_valid() -> None:
    for path in (ROOT / "docs").rglob("*.py"):
        ast.parse(path.read_text())

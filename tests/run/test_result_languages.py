"""Parameters in, results and failures out, in kernels that are not Python's.

Bash's kernel is on the Python registry. R's is a package of Debian: `make languages` installs it and runs these tests.
"""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from papermill.translators import BashTranslator, RTranslator

from airflow_nbjobs.exceptions import NotebookJobFailedError
from tests.support.cloud import Cloud
from tests.support.emulators import using
from tests.support.logged import Logged
from tests.support.papers import cell, notebook, sent, task

nbjobs_emulator_session = using("kernels")

TEXT = 'a "quoted" $word\\'
LANGUAGES: dict[str, tuple[str, Any, list[str]]] = {
    "bash": (
        "bash",
        BashTranslator,
        [
            "day=unset\nfactor=1\ntext=",
            f"test \"$text\" = '{TEXT}'",
            'echo "{\\"day\\": \\"$day\\", \\"product\\": $((21 * factor))}"',
        ],
    ),
    "R": (
        "ir",
        RTranslator,
        [
            'day <- "unset"\nfactor <- 1\ntext <- ""',
            f"stopifnot(identical(text, '{TEXT}\\'))",
            "cat(jsonlite::toJSON(list(day = day, product = 21 * factor), auto_unbox = TRUE))",
        ],
    ),
}


@pytest.fixture(scope="module")
def bash_kernel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Describe bash's kernel to Jupyter, in a folder of the tests' own."""
    folder = tmp_path_factory.mktemp("kernels")
    subprocess.run([sys.executable, "-m", "bash_kernel.install", "--prefix", folder], check=True, capture_output=True)
    return folder / "share" / "jupyter"


@pytest.fixture(autouse=True)
def bash(bash_kernel: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the emulator find bash's kernel."""
    monkeypatch.setenv("JUPYTER_PATH", str(bash_kernel))


def script(language: str, *cells: dict[str, Any]) -> dict[str, Any]:
    """Return a notebook in a language whose kernel is here."""
    name = LANGUAGES[language][0]
    return {**notebook(*cells), "metadata": {"kernelspec": {"name": name, "display_name": name, "language": language}}}


@pytest.mark.parametrize("language", ["bash", pytest.param("R", marks=pytest.mark.debian)])
def test_a_notebook_is_given_its_parameters_and_gives_its_results(cloud: Cloud, language: str) -> None:
    _, translator, (defaults, check, report) = LANGUAGES[language]
    paper = script(language, cell(defaults, "parameters"), cell(check), cell(report, "result"))
    parameters = {"day": "{{ ds }}", "factor": 2, "text": TEXT}
    run = task(notebook=paper, parameters=parameters)
    assert run.to_its_end()["results"] == {"day": "2026-11-22", "product": 42}
    assert translator.codify({**parameters, "day": "2026-11-22"}) in injected(run)


def injected(run: Any) -> list[str]:
    """Return the cells' sources, as they were sent."""
    content = json.loads(base64.b64decode(sent(run)["directNotebookSource"]["content"]))
    return ["".join(each["source"]) for each in content["cells"]]


def test_a_failing_bash_command_is_reported_with_its_cell(project: str, logged: Logged) -> None:
    with pytest.raises(NotebookJobFailedError, match=r"^Cell 2: error: 2\. .*FAILED after") as failure:
        task(notebook=script("bash", cell("echo fine"), cell("ls /nowhere"), cell("echo never"))).to_its_end()
    assert failure.value.cell == 2
    assert [line for line in logged() if line.startswith("[cell 2] | ls: ") and "/nowhere" in line] != []


@pytest.mark.debian
def test_an_error_of_r_is_told_with_its_cell(project: str) -> None:
    with pytest.raises(NotebookJobFailedError, match=r"^Cell 2: .*no such day.* FAILED after") as failure:
        task(notebook=script("R", cell("1 + 1"), cell('stop("no such day")'), cell("2 + 2"))).to_its_end()
    assert failure.value.cell == 2

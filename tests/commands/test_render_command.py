"""``nbjobs render`` prints what a task would send."""

from __future__ import annotations

import itertools
import json
import os
from pathlib import Path
from typing import Any

import nbformat
import pytest

from airflow_nbjobs.emulator import Emulator
from tests.support.commands import Command, written

DAG_FILE = """
from airflow.sdk import DAG, TaskGroup, task
from airflow_nbjobs.operators import CreateNotebookExecutionJobOperator

JOB = {"location": "us-central1", "runtime_template": "12", "gcs_output_uri": "gs://out/runs"}
print("a line that the DAG file prints")

with DAG("squares", schedule="@daily", params={"side": 2}):
    CreateNotebookExecutionJobOperator(
        task_id="plain",
        notebook="square.ipynb",
        parameters={"side": "{{ params.side }}", "day": "{{ ds }}", "max_tokens": 98765},
        unknown_parameters="warn",
        job_body={"futureField": {"api_key": "canary-of-the-body"}},
        **JOB,
    )
    CreateNotebookExecutionJobOperator.partial(task_id="mapped", notebook="square.ipynb", **JOB).expand(
        parameters=[{"side": 10}, {"side": 11}]
    )
    with TaskGroup("group"):
        CreateNotebookExecutionJobOperator(
            task_id="secret", notebook="square.ipynb", parameters={"side": "{{ conn.warehouse.password }}"}, **JOB
        )
    CreateNotebookExecutionJobOperator(task_id="reference", notebook="gs://shared/square.ipynb", **JOB)

    CreateNotebookExecutionJobOperator(task_id="wrong", notebook="square.ipynb", job_timeout="{{ 'soon' }}", **JOB)

    @task
    def before():
        return {"side": 4}

    @task.notebook(notebook="square.ipynb", **JOB)
    def decorated(side, data_interval_start=None):
        return {"side": side, "day": data_interval_start}

    decorated(before())
"""


@pytest.fixture
def dags(tmp_path: Path) -> Path:
    """Return a folder with a DAG and its notebook."""
    folder = tmp_path / "dags"
    folder.mkdir()
    (folder / "squares.py").write_text(DAG_FILE)
    written(folder / "square.ipynb", "def f():\n    return 'nine'\n\nf()")
    return folder


@pytest.fixture
def render(nbjobs: Command, dags: Path, nbjobs_emulator: Emulator) -> Any:
    """Return a function that renders a task of the DAG, and checks that no job was created."""

    def run(task: str, *options: Any, by: Command = nbjobs, **variables: str) -> Any:
        done = by("render", "squares", task, "--dags-folder", dags, *options, **variables)
        sent = nbjobs_emulator.requests()
        assert set(sent) <= {"storage"}, sent
        assert nbjobs_emulator.book(os.environ["GOOGLE_CLOUD_PROJECT"]) == []
        return done

    return run


def cell(printed: str, header: str = "   2 code (injected-parameters):") -> list[str]:
    """Return the lines of a cell, by default of the injected parameters."""
    lines = printed.splitlines()
    after = lines[lines.index(header) + 1 :]
    return [line.removeprefix("     | ") for line in itertools.takewhile(lambda line: line.startswith("     |"), after)]


def test_request_and_notebook_are_printed_with_masked_secrets(render: Any, nbjobs_alone: Command) -> None:
    done = render("plain", "--logical-date", "2026-11-01", "--conf", '{"side": 7}', by=nbjobs_alone)
    assert done.returncode == 0, done.stderr
    request, _ = json.JSONDecoder().raw_decode(done.stdout)
    assert request["method"] == "POST"
    assert request["url"].endswith("/locations/us-central1/notebookExecutionJobs")
    assert request["body"]["displayName"].startswith("squares.plain-")
    assert request["body"]["futureField"] == {"api_key": "***"}
    assert cell(done.stdout) == ["# Parameters", 'side = "7"', 'day = "2026-11-01"', 'max_tokens = "***"']
    assert cell(done.stdout, "   1 code (parameters):") == ["side = 1", "day = None"]
    assert cell(done.stdout, "   5 code:") == ["def f():", "    return 'nine'", "", "f()"]
    assert "max_tokens" in done.stderr
    for secret in ("98765", "canary-of-the-body"):
        assert secret not in done.stdout + done.stderr


def test_a_mapped_task_is_rendered_by_its_index(render: Any, tmp_path: Path) -> None:
    file = tmp_path / "injected.ipynb"
    done = render("mapped", "--map-index", 1, "--notebook", file)
    assert json.loads(done.stdout)["body"]["displayName"].startswith("squares.mapped-")
    notebook = nbformat.read(file, as_version=4)
    nbformat.validate(notebook)
    assert notebook.cells[1].source == "# Parameters\nside = 11\n"


def test_a_decorated_task_takes_the_given_xcom(render: Any) -> None:
    """The data interval comes from the DAG's own timetable."""
    done = render("decorated", "--xcom", 'before={"side": 4}', "--logical-date", "2026-11-02T00:00")
    assert done.returncode == 0, done.stderr
    assert cell(done.stdout) == ["# Parameters", 'side = {"side": 4}', 'day = "2026-11-02T00:00:00+00:00"']


def test_a_notebook_without_parameters_is_a_reference(render: Any, nbjobs_emulator: Emulator) -> None:
    nbjobs_emulator.upload("gs://shared/square.ipynb", b"{}")
    request = json.loads(render("reference").stdout)
    source = request["body"]["gcsNotebookSource"]
    assert source["uri"] == "gs://shared/square.ipynb"
    assert source["generation"].isdigit()


def test_a_large_notebook_is_rendered_as_a_reference(render: Any) -> None:
    done = render("plain", AIRFLOW__NBJOBS__STAGING_BYTES="100")
    body = json.JSONDecoder().raw_decode(done.stdout)[0]["body"]
    assert "directNotebookSource" not in body
    source = body["gcsNotebookSource"]
    assert source["uri"] == f"gs://out/runs/nbjobs-staged/{body['labels']['nbjobs-submit']}/square.ipynb"
    assert source["generation"].startswith("(of the copy that is written first, ")
    assert 'side = "2"' in cell(done.stdout)


def test_code_cells_are_numbered_as_errors_number_them(render: Any, dags: Path) -> None:
    notebook = json.loads((dags / "square.ipynb").read_text())
    notebook["cells"].insert(0, {"cell_type": "markdown", "id": "title", "metadata": {}, "source": "# Squares"})
    (dags / "square.ipynb").write_text(json.dumps(notebook))
    lines = render("plain").stdout.splitlines()
    headers = [line for line in lines if line.endswith(":") and not line.startswith("     |")]
    assert headers == [
        "The notebook has 6 cells. Code cells are numbered as in errors:",
        "     markdown:",
        "   1 code (parameters):",
        "   2 code (injected-parameters):",
        "   3 code:",
        "   4 code (result):",
        "   5 code:",
    ]


def test_control_characters_of_a_notebook_are_escaped(render: Any, dags: Path) -> None:
    notebook = json.loads((dags / "square.ipynb").read_text())
    notebook["cells"][1] |= {"source": "x = '\x1b[2J\u202e\ud800é'\x0c\n", "metadata": {"tags": None}}
    notebook["cells"][2]["metadata"] = {"tags": ["7", "\x9b"]}
    (dags / "square.ipynb").write_text(json.dumps(notebook))
    done = render("plain")
    assert done.returncode == 0, done.stderr
    assert cell(done.stdout, "   3 code:") == [r"x = '\u001b[2J\u202e\ud800é'\f"]
    assert cell(done.stdout, r"   4 code (7, \u009b):") == ["{'area': side ** 2}"]


def test_a_password_of_a_connection_is_refused_and_hidden(render: Any) -> None:
    word = "canary-of-the-connection"
    done = render("group.secret", AIRFLOW_CONN_WAREHOUSE=f"postgresql://me:{word}@db/x")
    assert (done.returncode, done.stdout) == (2, "")
    assert "parameters['side'] contains a secret that Airflow masks" in done.stderr
    assert word not in done.stderr


WRONG = {
    "no task": (
        ["nothing"],
        "The DAG 'squares' has no task 'nothing'. It has plain, mapped, group.secret, reference",
    ),
    "another operator": (["before"], "The task 'before' is a _PythonDecoratedOperator. Only tasks of"),
    "no index": (["mapped"], "The task 'mapped' is mapped. Give --map-index, 0 for the first."),
    "an index too many": (["plain", "--map-index", "0"], "The task 'plain' is not mapped. Leave --map-index out."),
    "an index too high": (
        ["mapped", "--map-index", "2"],
        "--map-index 2 is too high. The task 'mapped' is mapped to 2",
    ),
    "no XCom": (
        ["decorated"],
        "Give that task's return value: --xcom 'before=JSON'",
    ),
    "not JSON": (["plain", "--conf", "{side}"], "--conf '{side}' is not JSON"),
    "JSON without end": (["plain", "--conf", "[" * 10_000], "is not JSON ("),
    "an argument that is wrong when it is rendered": (
        ["wrong"],
        "job_timeout='soon' is not a time: give seconds",
    ),
    "not a date": (["plain", "--logical-date", "soon"], "'soon' is not a date: use 2026-11-22"),
}


@pytest.mark.parametrize("kind", WRONG)
def test_bad_options_are_named_with_a_remedy(render: Any, kind: str) -> None:
    arguments, words = WRONG[kind]
    done = render(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert words in done.stderr


def test_a_broken_dag_file_is_named(render: Any, dags: Path) -> None:
    (dags / "squares.py").write_text("from airflow.sdk import DAG\nraise RuntimeError('on purpose')")
    done = render("plain")
    assert done.returncode == 2
    assert "There is no DAG 'squares'" in done.stderr
    assert "squares.py: RuntimeError: on purpose." in done.stderr

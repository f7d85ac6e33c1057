"""``nbjobs run`` runs a notebook, prints its results, and returns an exit code."""

from __future__ import annotations

import copy
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from airflow_nbjobs.emulator import Emulator
from airflow_nbjobs.hooks import NotebookExecutionJobHook
from airflow_nbjobs.provider_info import get_provider_info
from tests.support.commands import SQUARE, Command, Start, written
from tests.support.waiting import eventually


def test_only_the_results_are_printed_on_standard_output(
    nbjobs_alone: Command, nbjobs_emulator: Emulator, tmp_path: Path
) -> None:
    written(tmp_path / "square.ipynb")
    done = nbjobs_alone("run", "square.ipynb", "-p", "side:=3", "-p", "day=2026-11-22")
    assert (done.returncode, json.loads(done.stdout)) == (0, {"area": 9})
    progress = done.stderr
    assert "[cell 3] | the side is 3" in progress
    (job,) = nbjobs_emulator.book(os.environ["GOOGLE_CLOUD_PROJECT"])
    assert f"({job['name'].rpartition('/')[2]}) is SUCCEEDED." in progress
    assert "Executed notebook: gs://nbjobs-examples/runs/" in progress


def test_a_failed_notebook_exits_with_1_and_names_the_cell(nbjobs: Command, tmp_path: Path) -> None:
    done = nbjobs("run", written(tmp_path / "bad.ipynb", "1/0"), "--log-output", "none")
    assert (done.returncode, done.stdout) == (1, "")
    assert "ZeroDivisionError: division by zero" in done.stderr.splitlines()[-1]
    assert "Cell 4" in done.stderr.splitlines()[-1]


def test_a_notebook_in_cloud_storage_is_run(nbjobs: Command, nbjobs_emulator: Emulator) -> None:
    import nbformat

    paper = copy.deepcopy(SQUARE)
    paper.cells[2].source = "{'area': side ** 2, 'unit': '\\x9b\\u202em²'}"
    nbjobs_emulator.upload("gs://shared/square.ipynb", nbformat.writes(paper).encode())
    done = nbjobs("run", "gs://shared/square.ipynb", "--output-uri", "gs://created-by-the-command/runs")
    assert (done.returncode, json.loads(done.stdout)) == (0, {"area": 1, "unit": "\x9b\u202em²"})
    assert r'"\u009b\u202em²"' in done.stdout  # a terminal would execute the first, and reverse what follows the second
    assert "Executed notebook: gs://created-by-the-command/runs/" in done.stderr


def test_the_job_is_requested_as_given_and_ended_in_time(
    nbjobs: Command, nbjobs_emulator: Emulator, tmp_path: Path
) -> None:
    notebook = written(tmp_path / "endless.ipynb", "while True:\n    pass")
    asked = ["--kernel", "python3", "--timeout", "4s", "--service-account", "me@p.iam.gserviceaccount.com"]
    done = nbjobs("run", notebook, *asked, "--runtime-template", "77", "--location", "europe-west4")
    assert (done.returncode, done.stdout) == (1, "")
    (booked,) = nbjobs_emulator.book(os.environ["GOOGLE_CLOUD_PROJECT"])
    job = NotebookExecutionJobHook().get_job(booked["name"]).to_wire()
    assert (job["kernelName"], job["executionTimeout"]) == ("python3", "4s")
    assert job["serviceAccount"] == "me@p.iam.gserviceaccount.com"
    assert job["notebookRuntimeTemplateResourceName"].endswith("/locations/europe-west4/notebookRuntimeTemplates/77")
    assert job["jobState"] != "JOB_STATE_SUCCEEDED"
    assert done.stderr.splitlines()[-1].partition(" error: ")[2].startswith("The notebook did not finish within 4 s")


@pytest.mark.parametrize(
    ("number", "kill", "state", "code"),
    [
        (signal.SIGINT, "cancel", "JOB_STATE_CANCELLED", 130),
        (signal.SIGINT, "leave", "JOB_STATE_RUNNING", 130),
        (signal.SIGTERM, "delete", "JOB_STATE_CANCELLED", 143),
    ],
    ids=["Ctrl-C", "Ctrl-C, the job is left", "terminated, the job is deleted"],
)
def test_a_signal_ends_the_job_as_asked(
    start: Start, nbjobs_emulator: Emulator, tmp_path: Path, number: signal.Signals, kill: str, state: str, code: int
) -> None:
    project = os.environ["GOOGLE_CLOUD_PROJECT"]

    def states() -> list[str]:
        return [job["state"] for job in nbjobs_emulator.book(project)]

    running = start("run", written(tmp_path / "long.ipynb", "import time; time.sleep(300)"), "--kill", kill)
    try:
        eventually(lambda: re.search(r"^\d+:\d\d .* is RUNNING\.$", running.told(), re.MULTILINE), within_seconds=60)
        assert states() == ["JOB_STATE_RUNNING"]
        running.send(number)
    finally:
        done = running.end()
    assert (done.returncode, done.stdout) == (code, "")
    assert "The task is killed: " in done.stderr
    eventually(lambda: states() == [state])
    assert [job["deleted"] for job in nbjobs_emulator.book(project)] == [kill == "delete"]
    for job in nbjobs_emulator.book(project):
        if job["state"] == "JOB_STATE_RUNNING":
            nbjobs_emulator.play(job["name"], "JOB_STATE_FAILED")


WRONG = {
    "no file": (["none.ipynb"], "The file 'none.ipynb' does not exist: looked for "),
    "an unknown user": (["~nobody-here/x.ipynb"], "The file '~nobody-here/x.ipynb' does not exist: looked for "),
    "not a parameter": (["square.ipynb", "-p", "side"], "-p 'side' is not a parameter: write NAME=TEXT or NAME:=JSON."),
    "not JSON": (["square.ipynb", "-p", "side:=three"], "-p 'side:=three' is not JSON after ':='"),
    "JSON without end": (["square.ipynb", "-p", f"side:={'[' * 10_000}"], "is not JSON after ':=' ("),
    "not a name": (["square.ipynb", "-p", "a-b=1"], "a-b"),
    "no bucket": (["square.ipynb", "--output-uri", "gs://"], "gcs_output_uri='gs://' is not a folder in Cloud Storage"),
    "not a region": (["square.ipynb", "--location", "mars/evil"], "mars/evil"),
    "no connection": (["square.ipynb", "--gcp-conn-id", "typo", "--location", "us-central1"], None),
}


@pytest.mark.parametrize("kind", WRONG)
def test_bad_input_exits_with_2_and_creates_no_job(
    nbjobs: Command, nbjobs_emulator: Emulator, tmp_path: Path, kind: str
) -> None:
    written(tmp_path / "square.ipynb")
    arguments, words = WRONG[kind]
    if words is None:  # without an emulator, where a connection is needed
        away = {"NBJOBS_EMULATOR_HOST": None, "STORAGE_EMULATOR_HOST": None}
        place = ["--runtime-template", "1", "--output-uri", "gs://b/o"]
        done = nbjobs("run", *arguments, *place, **away)
        words = "The connection 'typo' does not exist. Add it to Airflow, set AIRFLOW_CONN_TYPO, or use another"
    else:
        done = nbjobs("run", *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert words in done.stderr
    assert nbjobs_emulator.requests().get("create") is None


def test_options_that_are_missing_are_named(nbjobs: Command, tmp_path: Path) -> None:
    written(tmp_path / "square.ipynb")
    done = nbjobs("run", "square.ipynb", NBJOBS_EMULATOR_HOST=None, STORAGE_EMULATOR_HOST=None)
    assert done.returncode == 2
    assert "--location, --runtime-template, --output-uri must be given" in done.stderr


def test_an_emulator_that_is_off_is_reported_at_once(
    nbjobs: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NBJOBS_EMULATOR_HOST", "http://127.0.0.1:1")
    done = nbjobs("run", written(tmp_path / "square.ipynb"))
    assert (done.returncode, done.stdout) == (2, "")
    assert "http://127.0.0.1:1" in done.stderr
    assert "`nbjobs emulator`" in done.stderr


@pytest.mark.parametrize(
    ("cells", "code"), [((), 0), (("import json; 1/0",), 1)], ids=["a notebook that succeeds", "one that fails"]
)
def test_a_run_on_an_emulator_loads_nothing_of_airflow(
    nbjobs_emulator: Emulator, tmp_path: Path, cells: tuple[str, ...], code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW_CONFIG", str(tmp_path / "airflow.cfg"))
    options = get_provider_info()["config"]["nbjobs"]["options"]
    defaults = [f"{name} = {option['default']}" for name, option in options.items() if option["default"] is not None]
    (tmp_path / "airflow.cfg").write_text("\n".join(["[nbjobs]", *defaults]))  # as Airflow writes a new one
    arguments = ["run", str(written(tmp_path / "square.ipynb", *cells)), "-p", 'day:={"api_key": "x"}']
    program = (
        f"import sys; from airflow_nbjobs.cli import main; code = main({arguments}); "
        "print(code, [name for name in sys.modules if name.partition('.')[0] == 'airflow'])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert done.stdout.splitlines()[-1] == f"{code} []"
    assert "parameters['day']['api_key'] looks like a secret by its name" in done.stderr


def test_a_named_connection_gives_the_project_on_an_emulator(
    nbjobs: Command, nbjobs_emulator: Emulator, tmp_path: Path
) -> None:
    connection = json.dumps({"conn_type": "google_cloud_platform", "extra": {"project": "of-the-connection"}})
    notebook = written(tmp_path / "square.ipynb")
    done = nbjobs("run", notebook, "--gcp-conn-id", "mine", AIRFLOW_CONN_MINE=connection)
    assert (done.returncode, json.loads(done.stdout)) == (0, {"area": 1})
    (job,) = nbjobs_emulator.book("of-the-connection")
    assert job["state"] == "JOB_STATE_SUCCEEDED"


def test_a_limit_of_airflow_s_configuration_holds_on_an_emulator(
    nbjobs_alone: Command, nbjobs_emulator: Emulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "airflow.cfg").write_text("[nbjobs]\nresult_bytes = 4\n")
    monkeypatch.setenv("AIRFLOW_CONFIG", str(tmp_path / "airflow.cfg"))
    done = nbjobs_alone("run", written(tmp_path / "square.ipynb"))
    assert (done.returncode, done.stdout) == (1, "")
    assert "raise [nbjobs] result_bytes" in done.stderr


def test_the_help_texts_load_nothing_of_airflow() -> None:
    heavy = ["airflow", "google.auth", "httpx", "nbformat"]
    program = f"import sys, airflow_nbjobs.cli; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_html_is_written_for_a_failed_notebook_too(nbjobs: Command, tmp_path: Path) -> None:
    notebook = written(tmp_path / "bad.ipynb", "1/0")
    done = nbjobs("run", notebook, "--html", "--log-output", "none")
    assert done.returncode == 1
    assert "Executed notebook as HTML: bad.html" in done.stderr
    assert "Cell 4 failed" in (tmp_path / "bad.html").read_text()


def test_html_before_the_notebook_overwrites_no_notebook(nbjobs: Command, tmp_path: Path) -> None:
    notebook = written(tmp_path / "square.ipynb")
    before = notebook.read_bytes()
    done = nbjobs("run", "--html", notebook, notebook)
    assert (done.returncode, notebook.read_bytes()) == (2, before)
    assert "write --html after the notebook" in done.stderr

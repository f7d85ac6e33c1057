"""The examples of docs/howto/migrate.md: what can run here runs on the emulator."""

from __future__ import annotations

import importlib.util
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from google.auth.credentials import AnonymousCredentials
from google.cloud import aiplatform_v1
from google.cloud.aiplatform_v1.services.notebook_service.transports import NotebookServiceRestTransport

from airflow_nbjobs.emulator import Emulator
from airflow_nbjobs.hooks import NotebookExecutionJobHook
from airflow_nbjobs.operators import CreateNotebookScheduleOperator
from tests.support.task_runs import TaskRun
from tests.support.whole_dags import run_whole

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = {path.stem: path for path in (ROOT / "docs/migrations").glob("*.py")}


@pytest.fixture
def cloud(nbjobs_emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> Emulator:
    """Return an emulator with the notebook of the examples; Google's client finds it too."""

    def google_client(**_: Any) -> aiplatform_v1.NotebookServiceClient:
        host = nbjobs_emulator.url.removeprefix("http://")
        transport = NotebookServiceRestTransport(host=host, url_scheme="http", credentials=AnonymousCredentials())
        return GOOGLE(transport=transport)

    visits = ROOT / "example_dags/notebooks/visits.ipynb"
    nbjobs_emulator.upload("gs://my-bucket/visits.ipynb", visits.read_bytes())
    monkeypatch.setattr(aiplatform_v1, "NotebookServiceClient", google_client)
    monkeypatch.setattr("time.sleep", brief(0.2))
    return nbjobs_emulator


GOOGLE = aiplatform_v1.NotebookServiceClient


def brief(longest: float) -> Callable[[float], None]:
    """Return a sleep that is never long."""
    import time

    sleep = time.sleep
    return lambda seconds: sleep(min(seconds, longest))


def loaded(name: str, path: Path | None = None) -> Any:
    """Import an example, or its copy."""
    spec = importlib.util.spec_from_file_location(f"example_{name}", path or EXAMPLES[name])
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    "name", ["client_before", "client_after", "databricks_after", "papermill_after", "schedule_after"]
)
def test_an_example_runs_one_job(
    name: str, cloud: Emulator, airflow_database: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("airflow.settings.DAGS_FOLDER", str(tmp_path))  # alone: the examples have the same id
    dag = loaded(name, Path(shutil.copy(EXAMPLES[name], tmp_path))).dag
    for task in dag.tasks:
        if hasattr(task, "poll_interval"):
            task.poll_interval = 0.2
    before = len(cloud.book())
    assert run_whole(dag).state == "success"
    assert [job["state"] for job in cloud.book()[before:]] == ["JOB_STATE_SUCCEEDED"]


def test_the_schedule_of_the_example_is_read(cloud: Emulator, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    given = {"runtime_template": "1", "service_account": "notebooks@my-project.iam.gserviceaccount.com"}
    job = {"notebook": "gs://my-bucket/visits.ipynb", "gcs_output_uri": "gs://my-bucket/runs", **given}
    known = {"display_name": "report", "cron": "0 6 * * *", "location": "us-central1", "project_id": "my-project"}
    made = TaskRun(lambda: CreateNotebookScheduleOperator(task_id="deploy", job=job, **known)).execute()
    source = EXAMPLES["schedule_before"].read_text().replace("1234567890", made["name"].rpartition("/")[2])
    exec(compile(source, "schedule_before", "exec"), {})  # noqa: S102 - our own example
    assert "gs://my-bucket/visits.ipynb" in capsys.readouterr().out
    NotebookExecutionJobHook().schedules.delete(made["name"])


def test_the_example_with_papermill_runs_in_the_worker(cloud: Emulator, airflow_database: None, tmp_path: Path) -> None:
    visits = str(ROOT / "example_dags/notebooks/visits.ipynb")
    source = EXAMPLES["papermill_before"].read_text().replace("/srv/notebooks/visits.ipynb", visits)
    # In a process of its own, like a worker: papermill does not close its event loop.
    run = "\nrun = dag.test()\nprint(run.state, run.logical_date.date())\n"
    (tmp_path / "report.py").write_text(source + run)
    before = len(cloud.book())
    ran = subprocess.run([sys.executable, tmp_path / "report.py"], stdout=subprocess.PIPE, text=True, check=True)
    state, day = ran.stdout.splitlines()[-1].split()
    assert state == "success"
    assert len(cloud.book()) == before
    written = json.loads(cloud.download(f"gs://my-bucket/runs/{day}.ipynb"))
    assert written["metadata"]["papermill"]["exception"] is None


def test_the_example_with_databricks_is_a_dag() -> None:
    assert [task.task_type for task in loaded("databricks_before").dag.tasks] == ["DatabricksNotebookOperator"]


def test_all_examples_are_on_the_page() -> None:
    page = (ROOT / "docs/howto/migrate.md").read_text()
    assert [name for name in EXAMPLES if f"../migrations/{name}.py" not in page] == []

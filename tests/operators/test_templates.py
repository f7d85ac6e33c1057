"""Templates are rendered everywhere but in notebooks, whose content is in none of Airflow's records."""

from __future__ import annotations

import base64
import json
import os
import secrets
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from airflow_nbjobs.emulator import Emulator
from airflow_nbjobs.operators import (
    CreateNotebookExecutionJobOperator,
    DeleteNotebookExecutionJobOperator,
    GetNotebookExecutionJobOperator,
    ListNotebookExecutionJobsOperator,
)
from airflow_nbjobs.sensors import NotebookExecutionJobSensor
from tests.support.canaries import MARK as CANARY
from tests.support.shared import migrated_database, once
from tests.support.task_runs import JOB, REGION, TaskRun

ROOT = Path(__file__).resolve().parents[2]
DAGS = Path(__file__).with_name("dags")
BRACES = "x = '{{ ds }} {% if %} {# no #}'  # "


@dataclass(frozen=True)
class Finished:
    """A DAG that has run: what it printed, what Airflow's database kept, and what was submitted, by task."""

    printed: str
    database: dict[str, list[dict[str, Any]]]
    jobs: dict[str, dict[str, Any]]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """Run the DAG, in an Airflow of its own and once for all workers."""
    database = migrated_database(tmp_path_factory)
    with Emulator(runner="simulated", seconds=0.3, cleanup_seconds=0.0) as emulator:
        return once(tmp_path_factory, "braces", lambda home: run_braces(home, database, emulator))


def run_braces(home: Path, database: Path, emulator: Emulator) -> Finished:
    """Run the DAG with `dag.test()`."""
    shutil.copy(database, home / "airflow.db")
    environment = {
        **os.environ,
        **emulator.env,
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__DAGS_FOLDER": str(DAGS),
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home}/airflow.db",
        "GOOGLE_CLOUD_PROJECT": f"test-{secrets.token_hex(6)}",
    }
    call = [sys.executable, "-m", "tests.operators.dags.run_here", "braces"]
    run = subprocess.run(call, cwd=ROOT, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert run.returncode == 0, run.stdout
    logs = "".join(path.read_text() for path in home.rglob("*.log"))
    kept = {name: list(rows) for name, rows in _tables(home / "airflow.db")}
    return Finished(run.stdout + logs, kept, _jobs(kept, emulator))


def _tables(path: Path) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    database = sqlite3.connect(path)
    database.row_factory = sqlite3.Row
    try:
        for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
            yield name, [dict(row) for row in database.execute(f'SELECT * FROM "{name}"')]  # noqa: S608 - its own names
    finally:
        database.close()


def of_tasks(database: dict[str, list[dict[str, Any]]], table: str) -> list[dict[str, Any]]:
    """Return the rows of `xcom` or `rtif` with their tasks."""
    if rows := database.get({"rtif": "rendered_task_instance_fields"}.get(table, table)):
        return rows
    tasks = {row["id"]: row for row in database["task_instance"]}  # since Airflow 3.4
    rows = [tasks[row["task_instance_id"]] | row for row in database[f"{table}_v2"]]
    return [{**row, "map_index": row["region_index"]} for row in rows]


def _jobs(database: dict[str, list[dict[str, Any]]], emulator: Emulator) -> dict[str, dict[str, Any]]:
    """Return what was submitted, direct content too, under the task's id and map index."""
    import httpx

    found = {}
    with httpx.Client(base_url=emulator.url, trust_env=False) as http:
        for row in of_tasks(database, "xcom"):
            if row["key"] == "notebook_execution_job":
                name = json.loads(row["value"])["name"] if isinstance(row["value"], str) else row["value"]["name"]
                view = {"view": "NOTEBOOK_EXECUTION_JOB_VIEW_FULL"}
                task = row["task_id"] if row["map_index"] < 0 else f"{row['task_id']}[{row['map_index']}]"
                found[task] = http.get(f"/v1/{name}", params=view).raise_for_status().json()
    return found


def source(job: dict[str, Any]) -> str:
    """Return the code of a job's notebook, or where it is."""
    if "gcsNotebookSource" in job:
        return str(job["gcsNotebookSource"]["uri"])
    return str(json.loads(base64.b64decode(job["directNotebookSource"]["content"]))["cells"][0]["source"])


def test_each_notebook_reaches_the_service_as_it_is(finished: Finished) -> None:
    assert {task: source(job) for task, job in finished.jobs.items()} == {
        "inline": BRACES + CANARY,
        "here": BRACES + CANARY,
        "upstream": BRACES + "made upstream",
        "each_notebook[0]": "gs://notebooks/each_notebook.ipynb",
        "each_notebook[1]": BRACES + CANARY,
        "each_made[0]": BRACES + "first",
        "each_made[1]": BRACES + "second",
        "each_label[0]": BRACES + CANARY,
        "each_label[1]": BRACES + CANARY,
        "group.run": "gs://notebooks/one.ipynb",
        "mapped_group.run[0]": "gs://notebooks/a.ipynb",
        "mapped_group.run[1]": "gs://notebooks/b.ipynb",
    }


def test_default_args_and_nested_fields_are_rendered(finished: Finished) -> None:
    assert {name.split("/")[3] for name in (job["name"] for job in finished.jobs.values())} == {REGION}
    labels = {task: job["labels"] for task, job in finished.jobs.items()}
    assert [labels[f"each_label[{index}]"]["n"] for index in (0, 1)] == ["one-0", "two-1"]
    assert [labels[f"mapped_group.run[{index}]"]["nested"] for index in (0, 1)] == ["run", "run"]


def test_each_mapped_task_has_a_job_name_of_its_own(finished: Finished) -> None:
    assert len({job["displayName"] for job in finished.jobs.values()}) == len(finished.jobs) == 12


def test_every_operator_and_the_sensor_can_be_mapped(finished: Finished) -> None:
    rows = finished.database["task_instance"]
    index = "map_index" if "map_index" in rows[0] else "region_index"  # since Airflow 3.4
    instances = {(row["task_id"], row[index]): row["state"] for row in rows}
    mapped = [("each_wait", 0), ("each_wait", 1), ("each_look", 0), ("each_look", 1), ("each_list", 0)]
    assert [instances.get(one) for one in [*mapped, ("each_delete", 0)]] == ["success"] * 6


def test_the_content_of_a_notebook_is_in_no_log(finished: Finished) -> None:
    assert "was submitted" in finished.printed
    assert CANARY not in finished.printed


def test_the_content_of_a_notebook_is_nowhere_in_airflows_database(finished: Finished) -> None:
    assert of_tasks(finished.database, "rtif")
    assert {name for name, rows in finished.database.items() if rows} >= {"serialized_dag", "task_instance", "dag_code"}
    encoded = base64.b64encode(CANARY.encode()).decode()[:12]
    holding = [name for name, rows in finished.database.items() if CANARY in str(rows) or encoded in str(rows)]
    assert holding == []


def test_a_notebook_shows_in_the_ui_as_its_hash(finished: Finished) -> None:
    (row,) = [row for row in of_tasks(finished.database, "rtif") if row["task_id"] == "inline"]
    assert json.loads(row["rendered_fields"])["notebook"].startswith("inline notebook (sha256 ")


def test_the_dag_has_one_version(finished: Finished) -> None:
    assert len(finished.database["dag_version"]) == 1


@pytest.mark.parametrize(
    ("make", "own"),
    [
        (CreateNotebookExecutionJobOperator, JOB),
        (DeleteNotebookExecutionJobOperator, {"job_name": "x", "location": REGION}),
        (GetNotebookExecutionJobOperator, {"job_name": "x", "location": REGION}),
        (ListNotebookExecutionJobsOperator, {"location": "us-central1"}),
        (NotebookExecutionJobSensor, {"job_name": "x", "location": REGION}),
    ],
)
def test_every_template_field_is_rendered_in_texts_lists_and_dicts(make: Any, own: dict[str, Any]) -> None:
    run = TaskRun(lambda: make(task_id="t", **own))
    fields = {field: ["{{ ds }}", {"deep": ["{{ run_id }}"]}] for field in make.template_fields if field != "notebook"}
    for field, value in fields.items():
        setattr(run.operator, field, value)
    run.operator.render_template_fields(run.context)
    rendered = ["2026-11-22", {"deep": [run.ti.run_id]}]
    assert {field: getattr(run.operator, field) for field in fields} == dict.fromkeys(fields, rendered)
    assert {"location", "project_id", "gcp_conn_id", "impersonation_chain"} <= fields.keys()


def test_what_decides_for_airflow_is_no_template() -> None:
    fields = set(CreateNotebookExecutionJobOperator.template_fields)
    assert fields & {"deferrable", "poll_interval", "kill", "wait_for_completion", "sanitize_labels"} == set()
    assert set(JOB) - fields == {"poll_interval", "do_xcom_push"}

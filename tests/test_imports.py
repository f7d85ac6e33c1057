"""A DAG file, and every task process, pays for what it imports: ours must cost almost nothing over Airflow's own."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from airflow_nbjobs.emulator import Emulator

# What is there anyway: in a DAG file, and pytest where its plugin is loaded. Airflow 3.4 loads operators when one is
# used.
BEFORE = ["airflow.sdk", "airflow.sdk.bases.operator", "airflow.providers.common.compat.sdk", "pytest"]
# What Airflow loads for a DAG file, for each of its commands and for the provider's metadata, and pytest if the package
# is installed.
LIGHT = [
    "airflow_nbjobs",
    "airflow_nbjobs.commands.in_airflow",
    "airflow_nbjobs.decorators",
    "airflow_nbjobs.links",
    "airflow_nbjobs.operators",
    "airflow_nbjobs.provider_info",
    "airflow_nbjobs.pytest_plugin",
    "airflow_nbjobs.sensors",
]
if importlib.util.find_spec("airflow.sdk.definitions.retry_policy"):  # of Airflow 3.3
    LIGHT.append("airflow_nbjobs.retry_policy")
HEAVY = {
    "google", "httpx", "jsonschema", "jupyter_client", "nbclient", "nbformat", "openlineage", "pandas",
    "papermill", "requests", "starlette", "tenacity", "uvicorn",
}  # fmt: skip

PROGRAM = """
import importlib, json, sys
given, ours = json.loads(sys.argv[1])
for name in given:
    importlib.import_module(name)
before = set(sys.modules)
for name in ours:
    importlib.import_module(name)
print(json.dumps(sorted(set(sys.modules) - before)))
"""


def loaded_by(*ours: str) -> set[str]:
    """Name the modules that ours load, in a fresh interpreter that has loaded Airflow's and pytest."""
    arguments = [sys.executable, "-c", PROGRAM, json.dumps([BEFORE, ours])]
    done = subprocess.run(arguments, capture_output=True, text=True, check=True)
    return set(json.loads(done.stdout.splitlines()[-1]))


@pytest.fixture(scope="module")
def loaded() -> set[str]:
    return loaded_by(*LIGHT)


def test_what_every_task_process_imports_is_light(loaded):
    assert {name for name in loaded if name.split(".")[0] in HEAVY} == set()
    assert not {name for name in loaded if name.startswith(("airflow_nbjobs.emulator", "airflow_nbjobs.notebooks"))}


def test_nothing_is_loaded_but_ours_airflows_and_pythons_own(loaded):
    """Airflow reads DAG files again and again."""
    packages = {name.split(".")[0] for name in loaded} - sys.stdlib_module_names
    assert packages <= {"airflow_nbjobs", "airflow"}


def test_the_event_trigger_loads_no_package_that_airflows_own_do_not():
    pytest.importorskip("airflow.triggers.shared_stream", reason="older Airflows have no such triggers")
    airflows = ["airflow.triggers.base", "airflow.providers.common.compat.sdk"]
    found = loaded_by(*airflows, "airflow_nbjobs.events") - loaded_by(*airflows)
    assert {name.split(".")[0] for name in found} - sys.stdlib_module_names == {"airflow_nbjobs"}
    assert not {name for name in found if name.startswith(("airflow_nbjobs.watch", "airflow_nbjobs.hooks"))}


def test_the_eyes_of_this_test_are_open():
    loaded = {name.split(".")[0] for name in loaded_by("airflow_nbjobs.hooks", "airflow_nbjobs.notebooks.document")}
    assert {"google", "nbformat"} <= loaded


# A worker's process, as far as a task has it to itself: what of ours is loaded after each step.
TASK = """
import json, sys
from airflow.providers.common.compat.sdk import TaskDeferred
from tests.support.task_runs import JOB, NOTEBOOK, TaskRun
from airflow_nbjobs.operators import CreateNotebookExecutionJobOperator

loaded, before = {}, set(sys.modules)
for number, step in enumerate(json.loads(sys.argv[1])):
    given = {**JOB, "task_id": f"step_{number}", "deferrable": True, "kill": "leave", **step["given"]}
    if given["notebook"] is None:
        given["notebook"] = NOTEBOOK
    run = TaskRun(lambda: CreateNotebookExecutionJobOperator(**given))
    try:
        if "event" in step:
            note = {"v": 1, "name": step["event"]["job_name"], "operation": None, "adopted": False}
            run.ti.xcom_push("notebook_execution_job", note)
            run.resume("execute_complete", {"event": step["event"]})
        else:
            run.execute()
    except TaskDeferred:
        assert given["deferrable"]
    loaded[step["name"]] = sorted(set(sys.modules) - before)
print(json.dumps(loaded))
"""
PAPERS = {f"airflow_nbjobs.notebooks.{name}" for name in ("document", "languages", "log_lines", "outcome", "results")}
DOCUMENTS = {"nbformat", "traitlets", "fastjsonschema", *PAPERS}
WAITING = {"airflow_nbjobs.triggers", "airflow_nbjobs.watch"}
DATAFORM, TRANSLATORS = "airflow_nbjobs.notebooks.dataform", "papermill"


@pytest.fixture(scope="module")
def task_loads() -> Iterator[dict[str, set[str]]]:
    """Let two workers' processes take steps, each of which needs more than those before it."""
    with Emulator(runner="simulated", seconds=0.2, cleanup_seconds=0.0) as emulator:
        connection = '{"conn_type": "google_cloud_platform", "extra": {"is_anonymous": true, "project": "imports"}}'
        env = {**os.environ, **emulator.env, "AIRFLOW_CONN_GOOGLE_CLOUD_DEFAULT": connection}
        event = {"v": 1, "job_name": _job(emulator), "operation_name": None, "outcome": "done", "state": None}
        first = [
            {"name": "defer", "given": {}},
            {"name": "inline", "given": {"notebook": None}},
        ]
        second = [
            {"name": "resume", "given": {}, "event": {**event, "deadline": None}},
            {"name": "sync", "given": {"deferrable": False}},
            {
                "name": "parameters",
                "given": {
                    "notebook": None,
                    "parameters": {"day": 1},
                    "unknown_parameters": "warn",
                    "deferrable": False,
                },
            },
        ]
        with ThreadPoolExecutor() as pool:
            found = pool.map(lambda steps: _steps(steps, env), (first, second))
            yield {name: set(modules) for one in found for name, modules in one.items()}


def _job(emulator: Emulator) -> str:
    """Have a job made that is over soon, and return its name."""
    body = {
        "displayName": "a job",
        "gcsNotebookSource": {"uri": "gs://notebooks/report.ipynb"},
        "customEnvironmentSpec": {},
        "serviceAccount": "runner@local.iam.gserviceaccount.com",
        "gcsOutputUri": "gs://results/runs",
    }
    url = f"{emulator.url}/v1/projects/imports/locations/us-central1/notebookExecutionJobs"
    answer = httpx.post(url, json=body, trust_env=False).raise_for_status()
    return str(answer.json()["name"].partition("/operations/")[0])


def _steps(steps: list[dict[str, object]], env: dict[str, str]) -> dict[str, list[str]]:
    root = Path(__file__).resolve().parent.parent
    arguments = [sys.executable, "-c", TASK, json.dumps(steps)]
    done = subprocess.run(arguments, capture_output=True, text=True, env=env, cwd=root)
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout.splitlines()[-1]))


@pytest.mark.parametrize(
    ("step", "forbidden"),
    [
        ("defer", {*DOCUMENTS, DATAFORM, TRANSLATORS}),
        ("inline", {DATAFORM, TRANSLATORS}),
        ("resume", {*DOCUMENTS, *WAITING, DATAFORM, TRANSLATORS}),
        ("sync", {*DOCUMENTS, *WAITING, DATAFORM, TRANSLATORS}),
        ("parameters", {*WAITING, DATAFORM}),
    ],
)
def test_a_task_loads_what_it_needs_only(task_loads: dict[str, set[str]], step: str, forbidden: set[str]):
    assert task_loads[step] & forbidden == set()


def test_the_eyes_of_that_test_are_open_too(task_loads: dict[str, set[str]]):
    assert task_loads["defer"] >= WAITING
    assert task_loads["inline"] >= {"nbformat", "airflow_nbjobs.notebooks.document"}

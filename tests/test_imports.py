"""A DAG file, and every task process, pays for what it imports: ours must cost almost nothing over Airflow's own."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

# What is there anyway: in a DAG file, and pytest where its plugin is loaded.
BEFORE = ["airflow.sdk", "airflow.providers.common.compat.sdk", "pytest"]
# What Airflow loads for a DAG file, for the provider's metadata, and pytest for whoever has the package installed.
LIGHT = [
    "airflow_nbjobs",
    "airflow_nbjobs.decorators",
    "airflow_nbjobs.links",
    "airflow_nbjobs.operators",
    "airflow_nbjobs.provider_info",
    "airflow_nbjobs.pytest_plugin",
    "airflow_nbjobs.sensors",
]
HEAVY = {
    "google", "httpx", "httpx2", "jsonschema", "jupyter_client", "nbclient", "nbformat", "pandas", "papermill",
    "requests", "starlette", "tenacity", "uvicorn",
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


def test_the_eyes_of_this_test_are_open():
    loaded = {name.split(".")[0] for name in loaded_by("airflow_nbjobs.hooks")}
    assert {"google", "httpx2"} <= loaded

"""Installing the package from a package index, beside what users have."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
IMAGE = ["apache-airflow", "apache-airflow-providers-google"]

pytestmark = pytest.mark.index


def environment(folder: Path, constraints: str, *packages: str) -> Path:
    """Make an environment, install packages with the versions of a set, and return its Python."""
    uv, python = [sys.executable, "-m", "uv"], folder / "bin" / "python"
    subprocess.run([*uv, "venv", "--quiet", "--python", sys.executable, folder], check=True)
    versions: list[str | Path] = ["--python", python, "--constraint", ROOT / "constraints" / constraints]
    subprocess.run([*uv, "pip", "install", "--quiet", *versions, *packages], check=True)
    return python


def replaced(python: Path) -> set[str]:
    """Return the packages of an environment that `pip install .` would replace."""
    (site,) = python.parents[1].glob("lib/python*/site-packages")
    there = {found.name.lower().replace("_", "-") for found in distributions(path=[str(site)])}
    install = ["install", "--dry-run", "--quiet", "--disable-pip-version-check", "--report", "-", str(ROOT)]
    call = [sys.executable, "-m", "pip", "--python", str(python), *install]
    report: dict[str, Any] = json.loads(subprocess.run(call, check=True, text=True, stdout=subprocess.PIPE).stdout)
    added = {each["metadata"]["name"].lower().replace("_", "-") for each in report["install"]}
    assert {"airflow-nbjobs", "papermill"} <= added
    return added & there


@pytest.mark.parametrize("image", ["managed-3.1", "managed-3.3"])
def test_managed_airflow_keeps_its_packages(tmp_path: Path, image: str) -> None:
    assert replaced(environment(tmp_path, f"{image}.txt", *IMAGE)) == set()


NOTEBOOK = {
    "nbformat": 4,
    "nbformat_minor": 5,
    "metadata": {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}},
    "cells": [
        {"id": "a", "cell_type": "code", "source": "side = 1", "metadata": {"tags": ["parameters"]}},
        {"id": "b", "cell_type": "code", "source": "print({'area': int(side) ** 2})", "metadata": {"tags": ["result"]}},
    ],
}
for _cell in NOTEBOOK["cells"]:  # type: ignore[attr-defined]  # a list of dicts
    _cell |= {"outputs": [], "execution_count": None}

PROGRAM = """
import os, subprocess, sys
from pathlib import Path
from airflow.providers_manager import ProvidersManager
import airflow_nbjobs, airflow_nbjobs.decorators, airflow_nbjobs.hooks, airflow_nbjobs.links
import airflow_nbjobs.operators, airflow_nbjobs.sensors, airflow_nbjobs.triggers
from airflow_nbjobs.emulator import Emulator

assert Path(airflow_nbjobs.__file__).is_relative_to(sys.prefix), airflow_nbjobs.__file__
assert ProvidersManager().providers["airflow-nbjobs"].version == airflow_nbjobs.__version__
with Emulator() as emulator:
    run = [Path(sys.prefix, "bin", "nbjobs"), "run", "square.ipynb", "-p", "side=7"]
    sys.exit(subprocess.run(run, env=os.environ | emulator.env).returncode)
"""


def test_the_wheel_works_with_the_lowest_versions(wheel: Path, tmp_path: Path) -> None:
    python = environment(tmp_path / "venv", "lowest.txt", f"{wheel}[emulator]")
    (tmp_path / "square.ipynb").write_text(json.dumps(NOTEBOOK))
    env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    env["AIRFLOW_HOME"] = str(tmp_path / "home")
    run = subprocess.run([python, "-W", "ignore", "-c", PROGRAM], cwd=tmp_path, env=env, text=True, capture_output=True)
    assert run.returncode == 0, run.stderr
    assert '"area": 49' in run.stdout

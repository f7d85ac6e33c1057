"""Versions that are too old are refused, by a message that names them."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from pathlib import Path

from airflow_nbjobs.floors import FLOORS

import pytest

ROOT = Path(__file__).resolve().parents[1]
ENTRIES = ("decorators", "hooks", "links", "operators", "outlets", "schedule_trigger", "sensors", "triggers")
COMPAT, GOOGLE = "airflow/providers/common/compat", "airflow/providers/google"
NEWEST = {"airflow": "3.4.0b2+composer", COMPAT: "1.23.0", GOOGLE: "22.8.0"}


def test_the_floors_are_those_of_the_metadata() -> None:
    asked = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    assert {f"{package}>={floor}" for package, (_, floor) in FLOORS.items()} <= set(asked)


@pytest.mark.parametrize(
    ("entry", "folder", "found", "needed"),
    [
        *((entry, "airflow", "2.11.2", "apache-airflow 3.1.0") for entry in ENTRIES),
        ("operators", "airflow", "3.0.10", "apache-airflow 3.1.0"),
        ("operators", COMPAT, "1.7.4", "apache-airflow-providers-common-compat 1.12.0"),
        ("hooks", GOOGLE, "15.1.0", "apache-airflow-providers-google 16.0.0"),
        ("hooks", GOOGLE, None, "apache-airflow-providers-google 16.0.0"),
    ],
)
def test_an_old_version_is_refused(tmp_path: Path, entry: str, folder: str, found: str | None, needed: str) -> None:
    """The old Airflow of the test has nothing but its version."""
    for name, version in (NEWEST | {folder: found}).items():
        if version is not None:
            (tmp_path / name).mkdir(parents=True, exist_ok=True)
            (tmp_path / name / "__init__.py").write_text(f"__version__ = {version!r}\n")
    code = f"import airflow_nbjobs, airflow_nbjobs.provider_info, airflow_nbjobs.{entry}"
    env = os.environ | {"PYTHONPATH": f"{tmp_path}:{ROOT}"}
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=env)
    assert run.stderr.splitlines()[-1] == (
        f"ImportError: airflow-nbjobs needs {needed} or newer, and {found or 'no version of it'} is installed. "
        f"Run: pip install --upgrade '{needed.replace(' ', '>=')}'"
    )


def test_airflow_shows_the_refusal_as_an_import_error(tmp_path: Path) -> None:
    (tmp_path / "report.py").write_text("from airflow.sdk import DAG\nimport airflow_nbjobs.operators\n")
    code = (
        "import airflow.providers.google\n"
        "airflow.providers.google.__version__ = '15.1.0'\n"
        "try:\n"
        "    from airflow.dag_processing.dagbag import DagBag\n"
        "except ImportError:  # Airflow 3.1\n"
        "    from airflow.models.dagbag import DagBag\n"
        f"(error,) = DagBag({str(tmp_path)!r}).import_errors.values()\n"
        "print(error)\n"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "needs apache-airflow-providers-google 16.0.0 or newer, and 15.1.0 is installed." in run.stdout

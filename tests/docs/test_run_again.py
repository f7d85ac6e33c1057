"""The clear of docs/howto/run-again.md, on a DAG with a task downstream."""

from __future__ import annotations

import importlib.util
import shlex
from pathlib import Path
from typing import Any

import pytest

from tests.docs.test_blocks import CONSOLE, airflow_parser
from tests.support.whole_dags import run_whole

DAG = """
from airflow.sdk import DAG, task

with DAG("report_by_hand", schedule=None) as dag:

    @task
    def report():
        raise RuntimeError("a cell raised")

    @task
    def announce(run):
        print(run)

    announce(report())
"""


def states(run: Any) -> dict[str, Any]:
    """Return the states of the tasks of a run, from the database."""
    return {ti.task_id: ti.state for ti in run.get_task_instances()}


def test_a_clear_includes_tasks_that_failed_with_it(
    airflow_database: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("airflow.settings.DAGS_FOLDER", str(tmp_path))
    (tmp_path / "by_hand.py").write_text(DAG)
    spec = importlib.util.spec_from_file_location("by_hand", tmp_path / "by_hand.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    run = run_whole(module.dag)
    assert states(run) == {"report": "failed", "announce": "upstream_failed"}
    (clear,) = [block.script for block in CONSOLE if "tasks clear" in block.script]
    given = airflow_parser().parse_args(shlex.split(clear)[1:])
    given.func(given)
    assert states(run) == {"report": None, "announce": None}

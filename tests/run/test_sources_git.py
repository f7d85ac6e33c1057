"""A notebook that lies beside its DAG in Git: what runs is that of the DAG run's own commit."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import structlog
from airflow.dag_processing.bundles import manager
from airflow.providers.git.bundles.git import GitDagBundle
from airflow.sdk.execution_time.task_runner import parse

from airflow_nbjobs.exceptions import InvalidNotebookJobError
from airflow_nbjobs.hooks import NotebookExecutionJobHook
from tests.support.cloud import Cloud
from tests.support.papers import as_bytes, cell, notebook
from tests.support.task_runs import ACCOUNT, REGION, TEMPLATE, TaskInstance

DAG_FILE = f"""
from airflow.sdk import DAG
from airflow_nbjobs.operators import CreateNotebookExecutionJobOperator

with DAG("reports", schedule=None):
    for name in ("beside", "above", "nowhere"):
        CreateNotebookExecutionJobOperator(
            task_id=name, notebook=f"papers/{{name}}.ipynb", location={REGION!r}, runtime_template={TEMPLATE!r},
            service_account={ACCOUNT!r}, gcs_output_uri="gs://results/runs", wait_for_completion=False,
        )
"""


def git(folder: Path, *arguments: str) -> str:
    """Return what a command of Git prints."""
    who = ["-c", "user.name=test", "-c", "user.email=test@example.com", "-c", "init.defaultBranch=main"]
    done = subprocess.run(["git", *who, *arguments], cwd=folder, check=True, capture_output=True, text=True)  # noqa: S607
    return done.stdout.strip()


@pytest.fixture
def commits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Make a repository with two commits, of which its notebooks tell, and point Airflow's bundle at it."""
    repository = tmp_path / "repository"
    papers = {"beside": repository / "dags" / "papers", "above": repository / "papers"}
    for folder in papers.values():
        folder.mkdir(parents=True)
    git(repository, "init")
    (repository / "dags" / "reports.py").write_text(DAG_FILE)
    made = []
    for edition in ("first", "second"):
        for name, folder in papers.items():
            (folder / f"{name}.ipynb").write_bytes(as_bytes(notebook(cell(f"'{edition} {name}'"))))
        git(repository, "add", ".")
        git(repository, "commit", "-m", edition)
        made.append(git(repository, "rev-parse", "HEAD"))
    bundle = {"classpath": f"{GitDagBundle.__module__}.GitDagBundle"}
    told = {"name": "papers", **bundle, "kwargs": {"repo_url": str(repository), "tracking_ref": "main"}}
    monkeypatch.setenv("AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST", json.dumps([told]))
    monkeypatch.setenv("AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_STORAGE_PATH", str(tmp_path / "bundles"))
    if keeping := getattr(manager, "_load_bundle_config_snapshot", None):  # Airflow 3.4 reads the setting once
        keeping.cache_clear()
    return made


def started(task_id: str, commit: str | None) -> Any:
    """Return the task instance that Airflow's own task runner makes: bundle checked out, DAG file parsed."""
    told = SimpleNamespace(
        bundle_info=SimpleNamespace(name="papers", version=commit, version_data=None),
        dag_rel_path="dags/reports.py",
        ti=SimpleNamespace(dag_id="reports", task_id=task_id, model_dump=lambda **_: {"task_id": task_id}),
        ti_context=SimpleNamespace(max_tries=0),
        start_date=None,
        sentry_integration="",
    )
    return parse(told, structlog.get_logger())


def execute(task_id: str, commit: str | None) -> str:
    """Execute a task, and return the source of the notebook that it sent."""
    parsed = started(task_id, commit)
    ti = TaskInstance(task_id=task_id, bundle_instance=parsed.bundle_instance)
    run = SimpleNamespace(start_date=ti.start_date, run_id=ti.run_id)
    job = parsed.task.execute({"ti": ti, "task": parsed.task, "dag": parsed.task.dag, "dag_run": run})
    sent = NotebookExecutionJobHook().get_job(job["name"], "NOTEBOOK_EXECUTION_JOB_VIEW_FULL")
    assert sent.direct_notebook_source is not None
    (only,) = json.loads(sent.direct_notebook_source.content or b"")["cells"]
    return "".join(only["source"])


@pytest.mark.parametrize("task_id", ["beside", "above"], ids=["beside the DAG file", "in the bundle"])
def test_the_notebook_is_that_of_the_runs_commit(cloud: Cloud, commits: list[str], task_id: str) -> None:
    assert [execute(task_id, commit) for commit in [*commits, None]] == [
        f"'first {task_id}'",
        f"'second {task_id}'",
        f"'second {task_id}'",
    ]


def test_a_notebook_that_is_nowhere_is_named_with_the_places(cloud: Cloud, commits: list[str], tmp_path: Path) -> None:
    with pytest.raises(InvalidNotebookJobError, match=r"notebook='papers/nowhere\.ipynb' was not found") as error:
        execute("nowhere", commits[0])
    root = tmp_path / "bundles" / "papers" / "versions" / commits[0]
    assert f"'{root / 'dags' / 'papers' / 'nowhere.ipynb'}' and '{root / 'papers' / 'nowhere.ipynb'}'" in str(
        error.value
    )
    assert cloud.book() == []

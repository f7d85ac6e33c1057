"""Airflow's own app with the tab in it, a user, and an emulator whose jobs a test plays."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from airflow_nbjobs.plugin.page_cache import cache_folder
from tests.support.emulators import using
from tests.support.papers import as_bytes, notebook
from tests.support.task_rows import TaskRow

nbjobs_emulator_session = using("lasting")

CANARY = "the-content-of-the-notebook"


@pytest.fixture(scope="session")
def airflow_app(airflow_database: None) -> Iterator[FastAPI]:
    """Make the app that `airflow api-server` serves, with users who see their own DAGs."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AIRFLOW__CORE__AUTH_MANAGER", "tests.support.auth_manager.OwnDagsAuthManager")
        patch.setenv("AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS", "ann:viewer,bob:viewer")
        patch.setenv("AIRFLOW__API_AUTH__JWT_SECRET", secrets.token_hex(32))
        patch.setenv("AIRFLOW__API__SECRET_KEY", secrets.token_hex(32))
        from airflow.api_fastapi.app import create_app, purge_cached_app

        yield create_app()
        purge_cached_app()


@pytest.fixture
def stranger(airflow_app: FastAPI) -> TestClient:
    """Return a client without credentials."""
    return TestClient(airflow_app, base_url="http://airflow.example")


@pytest.fixture
def as_user(airflow_app: FastAPI) -> Callable[[str], TestClient]:
    """Return what makes the client of a user."""

    def make(name: str) -> TestClient:
        from airflow.api_fastapi.app import get_auth_manager
        from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser

        token = get_auth_manager().generate_jwt(SimpleAuthManagerUser(username=name, role="viewer"))
        return TestClient(airflow_app, base_url="http://airflow.example", headers={"Authorization": f"Bearer {token}"})

    return make


@pytest.fixture
def ann(as_user: Callable[[str], TestClient]) -> TestClient:
    """Return the client of a user who may read the DAG ann_reports."""
    return as_user("ann")


@pytest.fixture(autouse=True)
def pages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Keep pages in a folder of the test."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return cache_folder()


@pytest.fixture(autouse=True)
def _own_deployment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW__NBJOBS__DEPLOYMENT", "tests")


@pytest.fixture
def ran(cloud: Any) -> Callable[..., TaskRow]:
    """Return what makes a task whose job has ended, with an executed notebook."""
    cloud.upload("gs://results/made", b"")

    def make(content: bytes | None = None, *, state: str = "JOB_STATE_SUCCEEDED", **task: Any) -> TaskRow:
        row = TaskRow.make(**task)
        finish(cloud, row.submit(), content, state=state)
        return row

    return make


def finish(cloud: Any, name: str, content: bytes | None = None, *, state: str = "JOB_STATE_SUCCEEDED") -> None:
    """Let a job end, with an executed notebook."""
    cloud.play(name, state)
    uri = f"gs://results/runs/{name.rpartition('/')[2]}/report.ipynb"
    cloud.upload(uri, as_bytes(paper()) if content is None else content)


def paper() -> dict[str, Any]:
    """Return an executed notebook."""
    cell = {
        "cell_type": "code",
        "execution_count": 1,
        "metadata": {
            "execution": {
                "iopub.execute_input": "2026-12-01T00:00:00Z",
                "shell.execute_reply": "2026-12-01T00:00:02Z",
            }
        },
        "outputs": [{"output_type": "stream", "name": "stdout", "text": CANARY}],
        "source": "print(text)",
    }
    made = notebook(cell)
    made["metadata"]["papermill"] = {"parameters": {"day": "2026-11-22"}}
    return made


def problem(answer: Any) -> tuple[str | None, str]:
    """Return code and message of the problem in a state."""
    assert answer.status_code == 200, answer.text
    found = answer.json()["problem"] or {}
    return found.get("code"), found.get("message", "")

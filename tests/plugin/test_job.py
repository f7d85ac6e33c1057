"""Which job the tab shows: XComs may be forged by whoever can write them."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from unittest.mock import Mock

import pytest
from fastapi.testclient import TestClient

from airflow_nbjobs.hooks import NotebookExecutionJobHook
from airflow_nbjobs.notebooks import storage
from airflow_nbjobs.run.note import JOB_XCOM
from tests.plugin.conftest import CANARY, finish, paper, problem
from tests.support.papers import as_bytes
from tests.support.task_rows import TaskRow

CONTENT = ("frame", "facts", "notebook.html", "notebook.ipynb")


def assert_no_content(client: TestClient, row: TaskRow, code: str) -> None:
    """Check that no route shows anything of a notebook or of a job."""
    state = client.get(row.path("state"))
    assert problem(state)[0] == code
    assert state.json()["job"] is state.json()["notebook"] is state.json()["results"] is None
    for part in CONTENT:
        answer = client.get(row.path(part))
        assert answer.status_code == 404
        assert CANARY not in answer.text


def test_a_note_of_another_tasks_job_shows_nothing(ann: TestClient, cloud: Any, ran: Callable[..., TaskRow]) -> None:
    theirs = TaskRow.make(dag_id="bob_reports")
    finish(cloud, name := theirs.submit())
    row = ran()
    row.note(name)
    assert_no_content(ann, row, "foreign_job")


def test_a_note_that_a_person_wrote_is_read_as_a_tasks_own(
    ann: TestClient, cloud: Any, ran: Callable[..., TaskRow]
) -> None:
    """Airflow's UI stores an XCom as a text of JSON."""
    theirs, row = TaskRow.make(dag_id="bob_reports"), ran()
    finish(cloud, name := theirs.submit())
    row.push(JOB_XCOM, json.dumps({"v": 1, "name": name}))
    assert_no_content(ann, row, "foreign_job")


def test_a_note_of_another_try_of_a_mapped_neighbor_shows_nothing(
    ann: TestClient, cloud: Any, ran: Callable[..., TaskRow]
) -> None:
    row, neighbor = ran(map_index=0), TaskRow.make(map_index=1)
    finish(cloud, name := neighbor.submit())
    row.note(name)
    assert_no_content(ann, row, "foreign_job")


def test_a_note_of_a_job_without_a_key_shows_nothing(ann: TestClient, cloud: Any, ran: Callable[..., TaskRow]) -> None:
    row = ran()
    finish(cloud, row.submit(key=""))
    assert_no_content(ann, row, "foreign_job")


def test_a_note_of_another_project_shows_nothing(
    ann: TestClient, cloud: Any, ran: Callable[..., TaskRow], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even a job with this task's key, which a stranger can make in a project of the stranger's own."""
    row = ran()
    monkeypatch.setenv("GOOGLE_CLOUD_PROJECT", "stranger")
    name = row.submit(note=False)
    finish(cloud, name)
    monkeypatch.setenv("GOOGLE_CLOUD_PROJECT", cloud.project)
    row.note(name.replace(name.split("/")[1], "stranger"))
    assert_no_content(ann, row, "foreign_job")
    row.note(name)  # with the project's number, as the service answers
    assert_no_content(ann, row, "job_gone")


def test_a_forged_result_does_not_say_where_to_read(ann: TestClient, cloud: Any, ran: Callable[..., TaskRow]) -> None:
    row = ran(b'{"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}')
    cloud.upload("gs://elsewhere/secret.ipynb", CANARY.encode())
    row.push("return_value", {"v": 1, "executed_notebook": "gs://elsewhere/secret.ipynb", "results": {}})
    row.push("_link_ExecutedNotebookLink", "gs://elsewhere/secret.ipynb")
    for part in CONTENT:
        answer = ann.get(row.path(part))
        assert answer.status_code == 200
        assert CANARY not in answer.text
    assert "elsewhere" not in ann.get(row.path("state")).text


@pytest.mark.parametrize(
    "note",
    [
        "projects/p/locations/us-central1/notebookExecutionJobs/../../secrets",
        "projects/p/locations/evil.example%2f/notebookExecutionJobs/1",
        "https://evil.example/projects/p/locations/us-central1/notebookExecutionJobs/1",
        {"name": "x"},
        None,
        7,
    ],
)
def test_a_malformed_note_leads_to_the_tasks_own_job(
    note: Any, ann: TestClient, cloud: Any, ran: Callable[..., TaskRow]
) -> None:
    row = ran()
    own = ann.get(row.path("state")).json()["job"]["id"]
    row.note(note)
    assert ann.get(row.path("state")).json()["job"]["id"] == own


def test_a_notebook_is_read_below_the_jobs_own_folder_only(
    ann: TestClient, cloud: Any, ran: Callable[..., TaskRow], monkeypatch: pytest.MonkeyPatch
) -> None:
    row = ran()
    cloud.upload("gs://elsewhere/secret.ipynb", CANARY.encode())
    outside = storage.StoredObject(uri="gs://elsewhere/secret.ipynb", generation="1", size=9)
    monkeypatch.setattr(storage, "find_executed", lambda *_: outside)
    assert problem(ann.get(row.path("state")))[0] == "not_written"
    assert CANARY not in ann.get(row.path("notebook.ipynb")).text


def test_a_notebook_that_is_older_than_its_job_is_not_shown(ann: TestClient, cloud: Any) -> None:
    """Who may create jobs can use the id of a deleted job again, with that job's bucket."""
    row = TaskRow.make()
    cloud.upload("gs://foreign/runs/again/secret.ipynb", as_bytes(paper()))
    cloud.play(row.submit(job_id="again", gcsOutputUri="gs://foreign/runs"), "JOB_STATE_SUCCEEDED")
    code, message = problem(ann.get(row.path("state")))
    assert (code, "older than the job again" in message) == ("older_notebook", True)
    for part in CONTENT:
        answer = ann.get(row.path(part))
        assert (answer.status_code, CANARY in answer.text) == (404, False)


def test_a_job_from_the_future_of_an_emulator_is_shown(
    ann: TestClient, cloud: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A test may move the clock of the emulator's jobs, and not that of its Cloud Storage."""
    row = TaskRow.make()
    cloud.upload("gs://results/runs/ahead/report.ipynb", as_bytes(paper()))
    cloud.play(row.submit(job_id="ahead"), "JOB_STATE_SUCCEEDED")
    monkeypatch.setattr("airflow_nbjobs.plugin.notebook.datetime", Mock(now=lambda _: datetime(2026, 1, 1, tzinfo=UTC)))
    assert CANARY in ann.get(row.path("frame")).text


def test_the_connection_is_the_tabs_own(
    ann: TestClient, ran: Callable[..., TaskRow], monkeypatch: pytest.MonkeyPatch
) -> None:
    row = ran(gcp_conn_id="of_the_task")
    monkeypatch.setenv("AIRFLOW__NBJOBS__UI_GCP_CONN_ID", "of_the_tab")
    monkeypatch.delenv("NBJOBS_EMULATOR_HOST")
    row.push("gcp_conn_id", "of_the_xcom")
    code, message = problem(ann.get(row.path("state")))
    assert code == "no_connection"
    assert "'of_the_tab'" in message
    assert "ui_gcp_conn_id" in message


def test_a_connection_without_a_project_is_named(
    ann: TestClient, ran: Callable[..., TaskRow], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An emulator has a project in any case."""
    row = ran()
    monkeypatch.setattr(NotebookExecutionJobHook, "project_id", "")
    code, message = problem(ann.get(row.path("state")))
    assert code == "no_project"
    assert "'google_cloud_default', with which this page reads jobs, has no project." in message


def test_each_try_has_its_own_job(ann: TestClient, cloud: Any, ran: Callable[..., TaskRow]) -> None:
    row = ran(state="JOB_STATE_FAILED")
    first = ann.get(row.path("state")).json()["job"]["id"]
    row.retry("success")
    finish(cloud, second := row.submit(number=2))
    state = ann.get(row.path("state")).json()
    assert state["job"]["id"] == second.rpartition("/")[2]
    assert state["task"]["tries"] == [{"number": 1, "state": "failed"}, {"number": 2, "state": "success"}]
    earlier = ann.get(row.path("state"), params={"try": 1}).json()
    assert (earlier["job"]["id"], earlier["results"]) == (first, None)
    assert CANARY in ann.get(row.path("frame"), params={"try": 1}).text


@pytest.mark.parametrize("state", ["scheduled", "queued", "running"])
def test_a_retry_without_a_job_waits_and_shows_no_earlier_job(
    state: str, ann: TestClient, ran: Callable[..., TaskRow]
) -> None:
    row = ran(state="JOB_STATE_FAILED")
    row.retry(state)
    answer = ann.get(row.path("state"))
    assert (problem(answer)[0], answer.json()["job"], answer.json()["refresh_seconds"]) == ("before_job", None, 5)
    assert ann.get(row.path("state"), params={"try": 1}).json()["job"]["state"] == "FAILED"


def test_a_task_that_waits_to_resume_shows_its_job(ann: TestClient, ran: Callable[..., TaskRow]) -> None:
    row = ran()
    adopted = ann.get(row.path("state")).json()["job"]["name"]
    row.retry("running")
    row.note(adopted)
    row.await_worker()
    assert CANARY in ann.get(row.path("frame")).text


def test_a_try_that_took_an_earlier_job_names_its_try(ann: TestClient, ran: Callable[..., TaskRow]) -> None:
    row = ran()
    row.retry("success")
    code, message = problem(ann.get(row.path("state")))
    assert (code, message[-6:]) == ("no_job", "try 1.")

"""Where notebooks are read from, by the two variables that name an emulator: its jobs', and its storage's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from google_lookalike import Server
from task_runs import JOB, TaskRun

from airflow_nbjobs.emulator import Emulator
from airflow_nbjobs.exceptions import InvalidNotebookJobError
from airflow_nbjobs.hooks import NotebookExecutionJobHook
from airflow_nbjobs.operators import CreateNotebookExecutionJobOperator
from airflow_nbjobs.stores import storage_client


@pytest.fixture
def internet(serve: Callable[..., Server], monkeypatch: pytest.MonkeyPatch) -> Server:
    """Be the proxy on the way to all other machines, which lets nobody through."""
    proxy = serve((403, {}, {}))
    monkeypatch.setenv("HTTPS_PROXY", proxy.url)
    return proxy


def test_an_emulator_s_jobs_are_created_without_a_look_into_google_s_storage(
    nbjobs_emulator: Emulator, project: str, internet: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("STORAGE_EMULATOR_HOST")
    arguments = {**JOB, "wait_for_completion": False}
    assert TaskRun(lambda: CreateNotebookExecutionJobOperator(task_id="report", **arguments)).execute()
    assert len(nbjobs_emulator.book(project)) == 1
    assert internet.seen == []


def test_a_notebook_that_must_be_read_needs_the_emulator_s_storage(
    nbjobs_emulator: Emulator, project: str, internet: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("STORAGE_EMULATOR_HOST")
    arguments = {**JOB, "parameters": {"day": 1}}
    run = TaskRun(lambda: CreateNotebookExecutionJobOperator(task_id="report", **arguments))
    with pytest.raises(InvalidNotebookJobError, match=r"STORAGE_EMULATOR_HOST is not set: .* that `nbjobs emulator`"):
        run.execute()
    assert nbjobs_emulator.book(project) == internet.seen == []


@pytest.mark.parametrize("of_jobs", ["http://127.0.0.1:9099", None])
@pytest.mark.parametrize("of_storage", ["http://127.0.0.1:9023", None])
def test_notebooks_are_in_the_storage_that_is_named_or_in_google_s(
    connect: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, of_jobs: str | None, of_storage: str | None
) -> None:
    connect()
    for name, address in {"NBJOBS_EMULATOR_HOST": of_jobs, "STORAGE_EMULATOR_HOST": of_storage}.items():
        monkeypatch.setenv(name, address or "")
    if of_jobs and not of_storage:
        with pytest.raises(InvalidNotebookJobError):
            storage_client(NotebookExecutionJobHook())
        return
    with storage_client(NotebookExecutionJobHook()) as client:
        assert client.endpoint.url == (of_storage or "https://storage.googleapis.com")
        assert (client._http.auth is not None) == (of_storage is None)  # a token goes to Google only

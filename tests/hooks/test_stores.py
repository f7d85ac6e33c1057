"""Notebooks are read with the credentials of the jobs' connection."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from airflow_nbjobs.api.endpoint import Endpoint
from airflow_nbjobs.exceptions import NotFoundError
from airflow_nbjobs.hooks import NotebookExecutionJobHook
from airflow_nbjobs.notebooks import dataform, storage
from tests.support.canaries import TOKEN
from tests.support.google_lookalike import Answer, Server

NOTHING: Answer = (404, {}, {"error": {"code": 404, "message": "Not here.", "status": "NOT_FOUND"}})


@pytest.fixture
def server(connect: Callable[..., object], serve: Callable[..., Server], monkeypatch: pytest.MonkeyPatch) -> Server:
    """Let a server with TLS stand for Google's own addresses, which cannot be reached from a test."""
    connect()
    server = serve(NOTHING, tls=True)
    trusted = Endpoint(server.url, is_trusted=True)
    monkeypatch.setattr("airflow_nbjobs.service.storage_endpoint", lambda _: trusted)
    monkeypatch.setattr("airflow_nbjobs.notebooks.dataform.dataform_endpoint", lambda _: trusted)
    return server


def test_cloud_storage_is_sent_the_connections_token(server: Server) -> None:
    with NotebookExecutionJobHook().storage_client() as client, pytest.raises(NotFoundError):
        storage.get_object(client, "gs://papers/report.ipynb")
    assert server.tokens == [f"Bearer {TOKEN}-1"]


def test_dataform_is_sent_the_connections_token(server: Server) -> None:
    with NotebookExecutionJobHook().dataform_client() as client, pytest.raises(NotFoundError):
        dataform.newest_commit(client, "projects/p/locations/l/repositories/r")
    assert server.tokens == [f"Bearer {TOKEN}-1"]


@pytest.mark.parametrize("endpoint", [None, "https://jobs.example.com"])
def test_jobs_at_google_have_their_notebooks_at_google(
    connect: Callable[..., object], monkeypatch: pytest.MonkeyPatch, endpoint: str | None
) -> None:
    connect()
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", "http://127.0.0.1:1")
    with NotebookExecutionJobHook(endpoint=endpoint).storage_client() as client:
        assert client.endpoint.url == ("http://127.0.0.1:1" if endpoint else "https://storage.googleapis.com")
        assert client.endpoint.is_trusted == (endpoint is None)

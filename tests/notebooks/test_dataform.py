"""Notebooks are read from the emulator's Dataform."""

from __future__ import annotations

import secrets
from collections.abc import Iterator

import httpx
import pytest

from airflow_nbjobs.api.client import Client
from airflow_nbjobs.emulator import Emulator
from airflow_nbjobs.exceptions import InvalidNotebookJobError, NotFoundError
from airflow_nbjobs.notebooks.dataform import dataform_endpoint, newest_commit, read_repository


@pytest.fixture
def client(nbjobs_emulator: Emulator) -> Iterator[Client]:
    with Client(dataform_endpoint(nbjobs_emulator.url), None) as client:
        yield client


@pytest.fixture
def repository() -> str:
    return f"projects/p-{secrets.token_hex(6)}/locations/us-central1/repositories/r"


def test_notebook_is_read_at_the_newest_or_given_commit(
    nbjobs_emulator: Emulator, client: Client, repository: str
) -> None:
    first, second = (nbjobs_emulator.commit(repository, content) for content in (b"old", b"new"))
    assert newest_commit(client, repository) == second
    assert read_repository(client, repository) == b"new"
    assert read_repository(client, repository, first) == b"old"


def test_only_notebook_is_read_under_any_name(nbjobs_emulator: Emulator, client: Client, repository: str) -> None:
    for file in ("README.md", "report.ipynb", "folder/other.ipynb"):
        nbjobs_emulator.commit(repository, file.encode(), file=file)
    assert read_repository(client, repository) == b"report.ipynb"
    nbjobs_emulator.commit(repository, b"", file="second.ipynb")
    with pytest.raises(InvalidNotebookJobError, match=r"no 'content\.ipynb', and 2 other notebooks at its root"):
        read_repository(client, repository)


def test_repository_without_commits_has_no_newest_commit(
    nbjobs_emulator: Emulator, client: Client, repository: str
) -> None:
    parent, _, repository_id = repository.rpartition("/")
    url = f"{nbjobs_emulator.url}/v1/{parent}"
    httpx.post(url, params={"repositoryId": repository_id}, json={}, trust_env=False).raise_for_status()
    assert newest_commit(client, repository) is None


def test_missing_repository_or_commit_is_not_found(nbjobs_emulator: Emulator, client: Client, repository: str) -> None:
    nbjobs_emulator.commit(repository, b"")
    with pytest.raises(NotFoundError):
        read_repository(client, repository, 40 * "0")
    with pytest.raises(NotFoundError):
        read_repository(client, f"{repository}2")


@pytest.mark.parametrize(
    "name", ["r", "projects/p/locations/l/repositories/r/x", "projects/../locations/l/repositories/r"]
)
def test_other_name_than_a_repository_is_refused(client: Client, name: str) -> None:
    with pytest.raises(InvalidNotebookJobError, match="is not a repository"):
        read_repository(client, name)


def test_only_google_gets_tokens() -> None:
    google = dataform_endpoint()
    assert (google.url, google.is_trusted) == ("https://dataform.googleapis.com", True)
    assert not dataform_endpoint("127.0.0.1:9099").is_trusted

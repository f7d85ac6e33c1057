"""Notebooks in Dataform, from a server that answers as its discovery document says."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from airflow_nbjobs.api.client import Client
from airflow_nbjobs.exceptions import InvalidNotebookJobError, NotFoundError
from airflow_nbjobs.notebooks import dataform
from tests.support.raw_server import RawServer, http_answer, refusal

REPOSITORY = "projects/p/locations/us-central1/repositories/r"

Commits = Mapping[str, Mapping[str, bytes]]


def serve(commits: Commits) -> Callable[[str, int], bytes]:
    """Answer for a repository whose last commit is its newest."""

    def answer(request: str, _: int) -> bytes:
        url = urlsplit(request.split()[1])
        query = dict(parse_qsl(url.query))
        repository, _, method = url.path.removeprefix("/v1/").partition(":")
        commit = query.get("commitSha") or next(reversed(commits), "")
        if repository != REPOSITORY or (commit not in commits and commits):
            return http_answer(404, refusal(404, "NOT_FOUND"))
        return _method(method, commits, commit, query)

    return answer


def _method(method: str, commits: Commits, commit: str, query: Mapping[str, str]) -> bytes:
    if method == "fetchHistory":
        history = [{"commitSha": sha} for sha in reversed(commits)][: int(query["pageSize"])]
        return _json({"commits": history} if history else {})
    files = commits[commit]
    if method == "queryDirectoryContents":  # a page for each file
        start = int(query.get("pageToken", 0))
        more = {"nextPageToken": str(start + 1)} if start + 1 < len(files) else {}
        entries = [{"file": name} for name in files] + [{"directory": "folder"}]
        return _json({"directoryEntries": entries[start : start + 1], **more})
    if query["path"] not in files:
        return http_answer(404, refusal(404, "NOT_FOUND"))
    return _json({"contents": base64.b64encode(files[query["path"]]).decode()})


def _json(answer: Mapping[str, Any]) -> bytes:
    return http_answer(200, json.dumps(answer).encode())


def read(commits: Commits, commit: str | None = None, repository: str = REPOSITORY) -> bytes:
    with RawServer(serve(commits)) as server, Client(dataform.dataform_endpoint(server.url), None) as client:
        return dataform.read_repository(client, repository, commit)


def test_a_notebook_is_read_at_its_newest_commit_or_at_the_one_asked_for() -> None:
    commits = {"c1": {"content.ipynb": b"old"}, "c2": {"content.ipynb": b"new"}}
    assert read(commits) == b"new"
    assert read(commits, "c1") == b"old"


def test_the_newest_commit_is_known() -> None:
    for commits, newest in (({"c1": {}, "c2": {}}, "c2"), ({}, None)):
        with RawServer(serve(commits)) as server, Client(dataform.dataform_endpoint(server.url), None) as client:
            assert dataform.newest_commit(client, REPOSITORY) == newest


def test_the_only_notebook_is_read_whatever_its_name() -> None:
    assert read({"c": {"README.md": b"no", "report.ipynb": b"yes"}}) == b"yes"


def test_of_several_notebooks_none_is_guessed() -> None:
    with pytest.raises(InvalidNotebookJobError, match=r"no 'content\.ipynb', and 2 other notebooks at its root"):
        read({"c": {"a.ipynb": b"", "b.ipynb": b""}})


def test_a_missing_repository_or_commit_is_not_found() -> None:
    with pytest.raises(NotFoundError):
        read({"c": {"content.ipynb": b""}}, "other")
    with pytest.raises(NotFoundError):
        read({"c": {"content.ipynb": b""}}, repository=f"{REPOSITORY}2")


@pytest.mark.parametrize(
    "name", ["r", "projects/p/locations/l/repositories/r/x", "projects/../locations/l/repositories/r"]
)
def test_what_is_no_repository_is_refused(name: str) -> None:
    with pytest.raises(InvalidNotebookJobError, match="is not a repository"):
        read({}, repository=name)


def test_tokens_go_to_googles_dataform_and_to_no_emulator() -> None:
    google = dataform.dataform_endpoint()
    assert (google.url, google.is_trusted) == ("https://dataform.googleapis.com", True)
    assert not dataform.dataform_endpoint("127.0.0.1:9099").is_trusted


def test_what_the_server_answers_is_dataforms_api() -> None:
    """Methods, parameters and fields are those of the discovery document that the Google provider brings."""
    from importlib.resources import files

    document = json.loads((files("googleapiclient") / "discovery_cache/documents/dataform.v1.json").read_text())
    methods = document["resources"]["projects"]["resources"]["locations"]["resources"]["repositories"]["methods"]
    used = {"readFile": {"path", "commitSha"}, "queryDirectoryContents": {"commitSha", "pageToken"}}
    for name, parameters in {**used, "fetchHistory": {"pageSize"}}.items():
        assert methods[name]["httpMethod"] == "GET"
        assert methods[name]["path"] == f"v1/{{+name}}:{name}"
        assert parameters <= methods[name]["parameters"].keys()
    schemas = document["schemas"]
    assert schemas["ReadRepositoryFileResponse"]["properties"]["contents"]["format"] == "byte"
    assert {"directoryEntries", "nextPageToken"} <= schemas["QueryRepositoryDirectoryContentsResponse"][
        "properties"
    ].keys()
    assert "file" in schemas["DirectoryEntry"]["properties"]
    assert "commits" in schemas["FetchRepositoryHistoryResponse"]["properties"]
    assert "commitSha" in schemas["CommitLogEntry"]["properties"]

"""Dataform with Google's own client, our client, and jobs."""

from __future__ import annotations

import json
from urllib.parse import urlsplit

import httpx
import pytest
from google.api_core import exceptions
from google.auth.credentials import AnonymousCredentials
from google.cloud import dataform_v1
from google.cloud.dataform_v1.services.dataform.transports import DataformRestTransport

from airflow_nbjobs.api.client import Client
from airflow_nbjobs.emulator import Emulator
from airflow_nbjobs.exceptions import InvalidNotebookJobError, NotFoundError
from airflow_nbjobs.notebooks.dataform import dataform_endpoint, newest_commit, read_repository
from tests.contract.google_client import check
from tests.support.emulator_api import notebook

FileOperation = dataform_v1.CommitRepositoryChangesRequest.FileOperation
AUTHOR = dataform_v1.CommitAuthor(name="Ada", email_address="ada@example.com")


@pytest.fixture
def google(api):
    """Give Google's client, whose every exchange is checked against Google's discovery document."""
    parts = urlsplit(api.emulator.url)
    transport = DataformRestTransport(host=parts.netloc, url_scheme="http", credentials=AnonymousCredentials())
    transport._session.hooks["response"].append(check)
    with dataform_v1.DataformClient(transport=transport) as client:
        yield client


@pytest.fixture
def ours(api):
    with Client(dataform_endpoint(api.emulator.url), None) as client:
        yield client


@pytest.fixture
def parent(api):
    return f"projects/{api.project}/locations/us-central1"


def test_googles_client_makes_a_repository_commits_to_it_and_reads_it(google, parent):
    made = google.create_repository(
        parent=parent,
        repository_id="report",
        repository=dataform_v1.Repository(display_name="Report", labels={"single-file-asset-type": "notebook"}),
    )
    assert made.create_time.year >= 2026
    assert google.get_repository(name=f"{parent}/repositories/report") == made
    operations = {
        "content.ipynb": FileOperation(write_file=FileOperation.WriteFile(contents=b"\x00\xff")),
        "lib/a.py": FileOperation(write_file=FileOperation.WriteFile(contents=b"")),
    }
    shas = []
    for changes in (operations, {"lib/a.py": FileOperation(delete_file=FileOperation.DeleteFile())}):
        metadata = dataform_v1.CommitMetadata(author=AUTHOR, commit_message="A change")
        request = dataform_v1.CommitRepositoryChangesRequest(
            name=made.name,
            commit_metadata=metadata,
            file_operations=changes,
            required_head_commit_sha=shas[-1] if shas else "",
        )
        shas.append(google.commit_repository_changes(request).commit_sha)
    history = list(google.fetch_repository_history(request={"name": made.name, "page_size": 1}))
    assert [(entry.commit_sha, entry.author, entry.commit_message) for entry in history] == [
        (sha, AUTHOR, "A change") for sha in reversed(shas)
    ]
    assert google.read_repository_file(request={"name": made.name, "path": "content.ipynb"}).contents == b"\x00\xff"
    query = {"name": made.name, "commit_sha": shas[0], "page_size": 1}
    found = google.query_repository_directory_contents(request=query)
    assert [entry.file or entry.directory for entry in found] == ["content.ipynb", "lib"]


def test_googles_client_lists_and_deletes_repositories(google, parent):
    for repository_id in ("b", "a"):
        google.create_repository(parent=parent, repository_id=repository_id, repository={})
    listed = list(google.list_repositories(request={"parent": parent, "page_size": 1}))
    assert [item.name.rpartition("/")[2] for item in listed] == ["a", "b"]
    google.delete_repository(request={"name": listed[0].name, "force": True})
    assert [item.name for item in google.list_repositories(parent=parent)] == [listed[1].name]


def test_googles_client_gets_its_own_errors(google, parent):
    name = google.create_repository(parent=parent, repository_id="r", repository={}).name
    with pytest.raises(exceptions.Conflict, match="already exists"):
        google.create_repository(parent=parent, repository_id="r", repository={})
    with pytest.raises(exceptions.NotFound, match=r"no file 'content\.ipynb'"):
        google.read_repository_file(request={"name": name, "path": "content.ipynb"})
    late = {"commit_metadata": {"author": AUTHOR}, "required_head_commit_sha": 40 * "0"}
    with pytest.raises(exceptions.BadRequest, match="newest commit"):
        google.commit_repository_changes(request={"name": name, **late})


def test_our_client_reads_what_the_library_committed(api, ours, parent):
    repository = f"{parent}/repositories/report"
    with pytest.raises(NotFoundError, match="does not exist"):
        newest_commit(ours, repository)
    first = api.emulator.commit(repository, b"first")
    assert newest_commit(ours, repository) == first
    second = api.emulator.commit(repository, b"second")
    assert newest_commit(ours, repository) == second
    assert [read_repository(ours, repository, sha) for sha in (first, second, None)] == [b"first", b"second", b"second"]
    with pytest.raises(NotFoundError, match="no commit"):
        read_repository(ours, repository, 40 * "0")


def test_our_client_finds_the_only_notebook_as_a_job_does(api, ours, parent):
    repository = f"{parent}/repositories/report"
    api.emulator.commit(repository, b"notes", file="README.md")
    api.emulator.commit(repository, b"deep", file="folder/deep.ipynb")
    with pytest.raises(InvalidNotebookJobError, match="notebooks"):
        read_repository(ours, repository)
    api.emulator.commit(repository, b"report", file="report.ipynb")
    assert read_repository(ours, repository) == b"report"


@pytest.mark.parametrize(
    ("repository", "file", "message"),
    [
        ("repositories/r", "content.ipynb", "Invalid repository"),
        ("projects/p/locations/us-central1/repositories/a b", "content.ipynb", "Invalid repository_id"),
        ("projects/P/locations/us-central1/repositories/r", "content.ipynb", "Invalid project"),
        ("projects/p/locations/us-central1/repositories/r", "../content.ipynb", "Invalid path"),
    ],
)
def test_the_library_says_what_is_wrong_with_a_commit(api, repository, file, message):
    with pytest.raises(ValueError, match=message):
        api.emulator.commit(repository, b"", file=file)


def run(api, repository, sha=None):
    source = {"dataformRepositoryResourceName": repository, **({"commitSha": sha} if sha else {})}
    return api.reaches(api.create(directNotebookSource=None, dataformRepositorySource=source))


def output_of(api, job):
    executed = api.emulator.download(f"gs://emulator-output/runs/{job['name'].rpartition('/')[2]}/content.ipynb")
    return json.loads(executed)["cells"][0]["outputs"][0]["text"]


def test_a_job_runs_a_repositorys_notebook_at_its_newest_commit_or_the_one_asked_for(api, parent):
    repository = f"{parent}/repositories/report"
    first = api.emulator.commit(repository, notebook("print('first')"))
    api.emulator.commit(repository, notebook("print('second')"))
    assert output_of(api, run(api, repository)) == ["second\n"]
    job = run(api, repository, first)
    assert (job["jobState"], output_of(api, job)) == ("JOB_STATE_SUCCEEDED", ["first\n"])


def test_a_job_runs_the_only_notebook_of_another_name_and_writes_content_ipynb(api, parent):
    repository = f"{parent}/repositories/report"
    api.emulator.commit(repository, b"notes", file="README.md")
    api.emulator.commit(repository, notebook("print('other')"), file="report.ipynb")
    assert output_of(api, run(api, repository)) == ["other\n"]


@pytest.mark.parametrize(
    ("files", "sha", "message"),
    [
        ([], None, "repositories/report does not exist"),
        (["content.ipynb"], 40 * "0", f"has no commit '{40 * '0'}'"),
        (["README.md"], None, "has no content.ipynb"),
        (["a.ipynb", "b.ipynb"], None, "not exactly one other"),
        (["folder/content.ipynb"], None, "has no content.ipynb"),
    ],
)
def test_a_notebook_that_is_not_there_fails_the_job_and_says_so(api, parent, files, sha, message):
    for file in files:
        api.emulator.commit(f"{parent}/repositories/report", notebook("1"), file=file)
    job = run(api, f"{parent}/repositories/report", sha)
    assert (job["jobState"], job["status"]["code"]) == ("JOB_STATE_FAILED", 9)
    assert message in job["status"]["message"]


def test_requests_are_counted_by_their_own_names():
    with Emulator(runner="simulated") as emulator:
        name = "projects/p/locations/us-central1/repositories/r"
        emulator.commit(name, b"")
        for path in ("content.ipynb", "none"):
            httpx.get(f"{emulator.url}/v1/{name}:readFile", params={"path": path}, trust_env=False)
        assert emulator.requests() == {"read_file": {"200": 1, "404": 1}}

"""Dataform on the wire: repositories, commits, files, and refusals."""

from __future__ import annotations

import base64
import json
import re

import pytest

from airflow_nbjobs.emulator import Emulator
from airflow_nbjobs.emulator.dataform.schema import COMMIT, OPERATION, REPOSITORY
from airflow_nbjobs.emulator.resources import project_number
from tests.support.discovery import described, documented
from tests.support.emulator_api import Api

AUTHOR = {"name": "Ada", "emailAddress": "ada@example.com"}


def write(content):
    return {"writeFile": {"contents": base64.b64encode(content).decode()}}


@pytest.fixture
def repository(api):
    """Make a repository without commits and give its name, by the project's id."""
    answer = create(api, "notebook")
    assert answer.status_code == 200, answer.text
    return f"projects/{api.project}/locations/us-central1/repositories/notebook"


def create(api, repository_id, **body):
    parent = f"projects/{api.project}/locations/us-central1/repositories"
    return api.http.post(parent, params={"repositoryId": repository_id}, json=body)


def commit(api, repository, operations, **fields):
    body = {"commitMetadata": {"author": AUTHOR}, "fileOperations": operations, **fields}
    return api.http.post(f"{repository}:commit", json=body)


def sha_of(api, repository, **files):
    """Commit files, whose names end in ``.ipynb``, and give the hash."""
    answer = commit(api, repository, {f"{name}.ipynb": write(content) for name, content in files.items()})
    assert answer.status_code == 200, answer.text
    return answer.json()["commitSha"]


def read(api, repository, path, sha=""):
    answer = api.http.get(f"{repository}:readFile", params={"path": path, "commitSha": sha})
    assert answer.status_code in (200, 404), answer.text
    return base64.b64decode(answer.json().get("contents", "")) if answer.status_code == 200 else None


def entries(api, repository, path="", sha="", **page):
    answer = api.http.get(f"{repository}:queryDirectoryContents", params={"path": path, "commitSha": sha, **page})
    assert answer.status_code == 200, answer.text
    return answer.json()


def pages(api, url, field, **query):
    """Read all pages, and return the items of each."""
    token, found = "", []
    while True:
        answer = api.http.get(url, params={**query, "pageToken": token}).json()
        found.append(answer.get(field, []))
        token = answer.get("nextPageToken", "")
        if not token:
            return found


@pytest.mark.parametrize(
    ("table", "schema"),
    [(REPOSITORY, "Repository"), (OPERATION, "FileOperation"), (COMMIT, "CommitRepositoryChangesRequest")],
)
def test_the_tables_agree_with_googles_discovery_document(table, schema):
    assert described(dict(table)) == documented({"$ref": schema})


def test_a_created_repository_has_the_fields_that_were_sent(api):
    sent = {"displayName": "Umsätze", "labels": {"single-file-asset-type": "notebook"}, "kmsKeyName": "k"}
    made = create(api, "daily_Report-1", setAuthenticatedUserAdmin=True, **sent).json()
    name = f"projects/{project_number(api.project)}/locations/us-central1/repositories/daily_Report-1"
    assert made == {"name": name, "createTime": made["createTime"], **sent}
    assert api.get(name) == api.get(name.replace(project_number(api.project), api.project)) == made


@pytest.mark.parametrize("content", [b"", b"{}", bytes(range(256)) * 1_000, "ünï".encode()])
def test_a_committed_file_is_read_back(api, repository, content):
    path = "a folder/ünï & co?#%2e.ipynb"
    assert re.fullmatch("[0-9a-f]{40}", commit(api, repository, {path: write(content)}).json()["commitSha"])
    assert read(api, repository, path) == content


def test_the_content_of_an_empty_file_is_omitted(api, repository):
    commit(api, repository, {"empty": {"writeFile": {}}})
    assert api.http.get(f"{repository}:readFile?path=empty").json() == {}


def test_each_commit_keeps_its_files(api, repository):
    first = sha_of(api, repository, a=b"old", b=b"same")
    second = sha_of(api, repository, a=b"new")
    third = commit(api, repository, {"a.ipynb": {"deleteFile": {}}}).json()["commitSha"]
    assert [read(api, repository, "a.ipynb", sha) for sha in (first, second, third, "")] == [b"old", b"new", None, None]
    assert [read(api, repository, "b.ipynb", sha) for sha in (first, second, third, "")] == [b"same"] * 4
    assert entries(api, repository, sha=second) == {"directoryEntries": [{"file": "a.ipynb"}, {"file": "b.ipynb"}]}
    assert entries(api, repository) == {"directoryEntries": [{"file": "b.ipynb"}]}


def test_a_directory_lists_its_own_entries_with_full_paths(api, repository):
    paths = ["content.ipynb", "lib/a.py", "lib/deep/b.py", "lib/deep/c.py", "library.py"]
    commit(api, repository, {path: write(b"") for path in paths})
    root = [{"file": "content.ipynb"}, {"directory": "lib"}, {"file": "library.py"}]
    assert entries(api, repository)["directoryEntries"] == root
    below = [{"file": "lib/a.py"}, {"directory": "lib/deep"}]
    assert entries(api, repository, "lib")["directoryEntries"] == below
    assert pages(api, f"{repository}:queryDirectoryContents", "directoryEntries", pageSize=2) == [root[:2], root[2:]]


def test_a_repository_without_commits_has_an_empty_root_and_no_history(api, repository):
    assert entries(api, repository) == {}
    assert api.http.get(f"{repository}:fetchHistory").json() == {}
    assert read(api, repository, "content.ipynb") is None


def test_the_history_is_newest_first_and_its_pages_stable(api, repository):
    shas = [sha_of(api, repository, a=str(number).encode()) for number in range(3)]
    message = commit(api, repository, {}, commitMetadata={"author": AUTHOR, "commitMessage": "Nothing"}).json()
    shas = [*shas, message["commitSha"]]
    first = api.http.get(f"{repository}:fetchHistory", params={"pageSize": 2}).json()
    assert [entry["commitSha"] for entry in first["commits"]] == [shas[3], shas[2]]
    assert first["commits"][0] | {"commitTime": ""} == {
        "commitSha": shas[3], "author": AUTHOR, "commitMessage": "Nothing", "commitTime": "",
    }  # fmt: skip
    sha_of(api, repository, a=b"later")
    query = {"pageSize": 2, "pageToken": first["nextPageToken"]}
    second = api.http.get(f"{repository}:fetchHistory", params=query).json()
    assert [entry["commitSha"] for entry in second["commits"]] == [shas[1], shas[0]]
    assert "nextPageToken" not in second
    times = [entry["commitTime"] for entry in first["commits"] + second["commits"]]
    assert times == sorted(set(times), reverse=True)


def test_repositories_are_listed_by_name_and_by_page(api):
    for repository_id in ("b", "c", "a"):
        create(api, repository_id)
    url = f"projects/{api.project}/locations/us-central1/repositories"

    def ids(**query):
        found = pages(api, url, "repositories", **query)
        return [[item["name"].rpartition("/")[2] for item in page] for page in found]

    assert ids() == [["a", "b", "c"]]
    assert ids(pageSize=2, orderBy="name desc") == [["c", "b"], ["a"]]
    assert api.http.get(url.replace("us-central1", "europe-west4")).json() == {}


def test_a_commit_is_refused_when_another_one_came_before_it(api, repository):
    first = sha_of(api, repository, a=b"1")
    second = commit(api, repository, {"a.ipynb": write(b"2")}, requiredHeadCommitSha=first)
    assert second.status_code == 200
    late = commit(api, repository, {"a.ipynb": write(b"3")}, requiredHeadCommitSha=first)
    assert (late.status_code, second.json()["commitSha"] in late.text) == (400, True)
    assert read(api, repository, "a.ipynb") == b"2"


@pytest.mark.parametrize(
    ("operations", "message"),
    [
        ({"": write(b"")}, "Invalid path ''"),
        ({"/a": write(b"")}, "Invalid path '/a'"),
        ({"a//b": write(b"")}, "Invalid path"),
        ({"../a": write(b"")}, "Invalid path"),
        ({"a/./b": write(b"")}, "Invalid path"),
        ({"a\0": write(b"")}, "Invalid path"),
        ({"\ud800": write(b"")}, "Invalid path"),
        ({"there.ipynb/x": write(b"")}, "'there.ipynb' cannot be both"),
        ({"folder": write(b"")}, "'folder' cannot be both"),
        ({"none": {"deleteFile": {}}}, "no file 'none' to delete"),
        ({"a": {}}, "writeFile or deleteFile"),
        ({"a": {"writeFile": {}, "deleteFile": {}}}, "oneof"),
        ({"a": {"moveFile": {}}}, "moveFile"),
        ({"a": {"writeFile": {"contents": "!"}}}, "TYPE_BYTES"),
        ({"a": 1}, "TYPE_MESSAGE"),
        ([1], "map"),
    ],
)
def test_a_commit_with_one_bad_operation_changes_nothing(api, repository, operations, message):
    sha_of(api, repository, there=b"")
    head = commit(api, repository, {"folder/x": write(b"")}).json()["commitSha"]
    more = {"good": write(b""), **operations} if isinstance(operations, dict) else operations
    body = {"commitMetadata": {"author": AUTHOR}, "fileOperations": more}
    # Python's own JSON, in ASCII: half a surrogate pair has no other form.
    answer = api.http.post(
        f"{repository}:commit", content=json.dumps(body), headers={"Content-Type": "application/json"}
    )
    assert (answer.status_code, answer.json()["error"]["status"]) == (400, "INVALID_ARGUMENT")
    assert message in answer.json()["error"]["message"]
    assert api.http.get(f"{repository}:fetchHistory").json()["commits"][0]["commitSha"] == head


@pytest.mark.parametrize(
    "metadata", [{}, {"author": {}}, {"author": {"name": "Ada"}}, {"author": {"emailAddress": "a@b"}}]
)
def test_a_commit_names_its_author(api, repository, metadata):
    answer = commit(api, repository, {}, commitMetadata=metadata)
    assert (answer.status_code, "author is required" in answer.text) == (400, True)


@pytest.mark.parametrize(
    ("verb", "url", "status"),
    [
        ("GET", "{repositories}/none", 404),
        ("DELETE", "{repositories}/none", 404),
        ("GET", "{repositories}/none:readFile?path=a", 404),
        ("GET", "{repositories}/none:queryDirectoryContents", 404),
        ("GET", "{repositories}/none:fetchHistory", 404),
        ("GET", "{repositories}/notebook:readFile?path=a", 404),
        ("GET", "{repositories}/notebook:readFile?path=", 400),
        ("GET", "{repositories}/notebook:readFile", 400),
        ("GET", "{repositories}/notebook:readFile?path=folder", 404),
        ("GET", "{repositories}/notebook:readFile?path=folder/x&commitSha=" + 40 * "0", 404),
        ("GET", "{repositories}/notebook:readFile?path=folder/x&commitSha=main", 404),
        ("GET", "{repositories}/notebook:readFile?path=folder/x&revision=1", 400),
        ("GET", "{repositories}/notebook:queryDirectoryContents?path=none", 404),
        ("GET", "{repositories}/notebook:queryDirectoryContents?path=folder/x", 404),
        ("GET", "{repositories}/notebook:queryDirectoryContents?commitSha=" + 40 * "0", 404),
        ("GET", "{repositories}/notebook:queryDirectoryContents?pageSize=-1", 400),
        ("GET", "{repositories}/notebook:fetchHistory?pageToken=x", 400),
        ("GET", "{repositories}/notebook:fetchHistory?pageSize=many", 400),
        ("GET", "{repositories}/notebook:computeAccessTokenStatus", 404),
        ("DELETE", "{repositories}/notebook?force=maybe", 400),
        ("GET", "{repositories}?orderBy=createTime", 400),
        ("GET", "{repositories}?filter=x", 501),
        ("POST", "{repositories}?repositoryId=notebook", 409),
        ("POST", "{repositories}", 400),
        ("POST", "{repositories}?repositoryId=a%20b", 400),
        ("POST", "{repositories}?repositoryId=" + 64 * "a", 400),
        ("GET", "projects/NOT_ONE/locations/us-central1/repositories/notebook", 400),
        ("GET", "projects/p/locations/-/repositories", 400),
    ],
)
def test_a_missing_or_malformed_resource_is_refused(api, repository, verb, url, status):
    commit(api, repository, {"folder/x": write(b"")})
    url = url.format(repositories=repository.rpartition("/")[0])
    assert api.http.request(verb, url).status_code == status


def test_a_page_token_is_valid_for_its_list_only(api, repository):
    commit(api, repository, {f"{folder}/{name}": write(b"") for folder in "ab" for name in "123"})
    token = entries(api, repository, "a", pageSize=1)["nextPageToken"]
    assert entries(api, repository, "a", pageToken=token)["directoryEntries"] == [{"file": "a/2"}, {"file": "a/3"}]
    for url in (f"{repository}:queryDirectoryContents?path=b", f"{repository}:fetchHistory"):
        assert api.http.get(url, params={"pageToken": token}).status_code == 400


def test_an_unknown_field_and_a_remote_are_refused(api):
    assert create(api, "r", colour="red").status_code == 400
    answer = create(api, "r", gitRemoteSettings={"url": "https://example.com/x.git"})
    assert (answer.status_code, answer.json()["error"]["status"]) == (501, "UNIMPLEMENTED")
    assert create(api, "r").status_code == 200


def test_a_deleted_and_recreated_repository_is_empty(api, repository):
    sha = sha_of(api, repository, content=b"old")
    assert api.http.delete(repository, params={"force": "true"}).json() == {}
    assert api.http.get(repository).status_code == 404
    create(api, "notebook")
    assert read(api, repository, "content.ipynb") is None
    assert read(api, repository, "content.ipynb", sha) is None


def test_repositories_survive_a_restart(tmp_path):
    name = "projects/p/locations/us-central1/repositories/r"
    for number in range(2):
        with Emulator(runner="simulated", data=tmp_path) as emulator:
            emulator.commit(name, str(number).encode())
    with Emulator(runner="simulated", data=tmp_path) as emulator, Api(emulator, "p") as api:
        assert read(api, name, "content.ipynb") == b"1"
        assert len(api.http.get(f"{name}:fetchHistory").json()["commits"]) == 2

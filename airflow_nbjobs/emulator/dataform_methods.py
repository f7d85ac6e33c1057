"""The part of Dataform's API that has to do with the notebooks of jobs: repositories, commits, and reading both.

It follows Google's discovery document of dataform v1, revision 20261030, whose fields a test holds against these
tables. Git remotes, workspaces, folders, policies and all that compiles SQL are not here.
"""

from __future__ import annotations

import base64
from functools import partial
from typing import TYPE_CHECKING, Any

from airflow_nbjobs.emulator.dataform_pages import page
from airflow_nbjobs.emulator.dataform_tree import entries
from airflow_nbjobs.emulator.errors import ApiError, invalid
from airflow_nbjobs.emulator.schema import Kind, read_message

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_nbjobs.emulator.dataform import Repositories, Repository
    from airflow_nbjobs.emulator.methods import Call, Method

REPOSITORY: Mapping[str, Kind] = {
    "containingFolder": "string",
    "createTime": "datetime",
    "dataEncryptionState": {"kmsKeyVersionName": "string"},
    "displayName": "string",
    "endUserAuthConfig": {"oauthConfig": {"additionalOauthScopes": ["string"]}},
    "gitRemoteSettings": {
        "authenticationTokenSecretVersion": "string",
        "defaultBranch": "string",
        "effectiveDefaultBranch": "string",
        "gitRepositoryLink": "string",
        "sshAuthenticationConfig": {"hostPublicKey": "string", "userPrivateKeySecretVersion": "string"},
        "tokenStatus": ("TOKEN_STATUS_UNSPECIFIED", "NOT_FOUND", "INVALID", "VALID"),
        "url": "string",
    },
    "internalMetadata": "string",
    "kmsKeyName": "string",
    "labels": "labels",
    "name": "string",
    "npmrcEnvironmentVariablesSecretVersion": "string",
    "serviceAccount": "string",
    "setAuthenticatedUserAdmin": "boolean",
    "teamFolderName": "string",
    "workspaceCompilationOverrides": dict.fromkeys(("defaultDatabase", "schemaSuffix", "tablePrefix"), "string"),
}
COMMIT: Mapping[str, Kind] = {
    "commitMetadata": {"author": {"emailAddress": "string", "name": "string"}, "commitMessage": "string"},
    "fileOperations": "any",  # a map of OPERATION by path
    "requiredHeadCommitSha": "string",
}
OPERATION: Mapping[str, Kind] = {"deleteFile": {}, "writeFile": {"contents": "bytes"}}
# Not of a client's making, or for the service's ears alone.
_NOT_KEPT = {
    "createTime", "dataEncryptionState", "internalMetadata", "name", "setAuthenticatedUserAdmin", "teamFolderName",
}  # fmt: skip
_REPOSITORIES = "/v1/projects/{project}/locations/{location}/repositories"
_REPOSITORY = _REPOSITORIES + "/{repository}"


def routes(repositories: Repositories) -> list[tuple[str, str, str, Method]]:
    """Give for each method its path, its verb, its name and what it does; the more special paths come first."""
    methods = [
        (_REPOSITORY + ":commit", "POST", commit),
        (_REPOSITORY + ":readFile", "GET", read_file),
        (_REPOSITORY + ":queryDirectoryContents", "GET", query_directory_contents),
        (_REPOSITORY + ":fetchHistory", "GET", fetch_history),
        (_REPOSITORIES, "POST", create_repository),
        (_REPOSITORIES, "GET", list_repositories),
        (_REPOSITORY, "GET", get_repository),
        (_REPOSITORY, "DELETE", delete_repository),
    ]
    return [(path, verb, act.__name__, partial(act, repositories)) for path, verb, act in methods]


async def create_repository(repositories: Repositories, call: Call) -> dict[str, Any]:
    """Make an empty repository."""
    repository_id = call.only("repositoryId").get("repositoryId", "")
    body = read_message(call.body, REPOSITORY, "repository")
    if "gitRemoteSettings" in body:
        raise ApiError(501, "The emulator has no repositories with a Git remote: leave git_remote_settings out.")
    kept = {field: value for field, value in body.items() if field not in _NOT_KEPT}
    return repositories.create(call.parent, repository_id, kept).to_wire()


async def get_repository(repositories: Repositories, call: Call) -> dict[str, Any]:
    """Answer with a repository."""
    call.only()
    return _repository(repositories, call).to_wire()


async def list_repositories(repositories: Repositories, call: Call) -> dict[str, Any]:
    """Answer with a page of repositories, by name."""
    query = call.only("filter", "orderBy", "pageSize", "pageToken")
    if query.get("filter"):
        raise ApiError(501, f"The emulator does not filter repositories: {query['filter']!r}.")
    order = query.get("orderBy", "").split()
    if order not in ([], ["name"], ["name", "asc"], ["name", "desc"]):
        raise invalid("order_by", f"Invalid order_by {query['orderBy']!r}: repositories are ordered by name.")
    found = [(repository.id, repository.to_wire()) for repository in repositories.under(call.parent)]
    return page("repositories", found, call.path, query, down="desc" in order)


async def delete_repository(repositories: Repositories, call: Call) -> dict[str, Any]:
    """Delete a repository; the answer is empty."""
    force = call.only("force").get("force", "false")  # here, no repository has what would need force
    if force not in ("true", "false"):
        raise invalid("force", f"Invalid value at 'force' (TYPE_BOOL), {force!r}")
    repositories.delete(_repository(repositories, call))
    return {}


async def commit(repositories: Repositories, call: Call) -> dict[str, Any]:
    """Commit changes; answer with the commit's hash."""
    call.only()
    body = read_message(call.body, COMMIT, "request")
    metadata = body.get("commitMetadata", {})
    for field in ("name", "emailAddress"):
        if not metadata.get("author", {}).get(field):
            raise invalid(f"commit_metadata.author.{field}", f"The {field} of the commit's author is required.")
    operations = body.get("fileOperations", {})
    if not isinstance(operations, dict):
        raise invalid("file_operations", f"Invalid value at 'file_operations' (map), {operations!r:.80}")
    changes = {path: _change(path, operation) for path, operation in operations.items()}
    required_head = body.get("requiredHeadCommitSha", "")
    sha = repositories.commit(_repository(repositories, call), changes, metadata, required_head)
    return {"commitSha": sha}


async def read_file(repositories: Repositories, call: Call) -> dict[str, Any]:
    """Answer with a file's content at a commit."""
    query = call.only("path", "commitSha")
    if not query.get("path"):
        raise invalid("path", "The path of the file is required.")
    content = repositories.read(_repository(repositories, call), query["path"], query.get("commitSha", ""))
    return {"contents": base64.b64encode(content).decode()} if content else {}


async def query_directory_contents(repositories: Repositories, call: Call) -> dict[str, Any]:
    """Answer with a page of what is in a directory at a commit."""
    query = call.only("path", "commitSha", "pageSize", "pageToken")
    files = repositories.files(_repository(repositories, call), query.get("commitSha", ""))
    return page("directoryEntries", entries(files, query.get("path", "")), call.path, query)


async def fetch_history(repositories: Repositories, call: Call) -> dict[str, Any]:
    """Answer with a page of the commits, newest first."""
    query = call.only("pageSize", "pageToken")
    history = repositories.history(_repository(repositories, call))
    found = [(f"{commit.seq:019}", commit.to_wire()) for commit in reversed(history)]
    return page("commits", found, call.path, query, down=True)


def _repository(repositories: Repositories, call: Call) -> Repository:
    return repositories.get(call.parent, call.path["repository"])


def _change(path: str, operation: object) -> bytes | None:
    read = read_message(operation, OPERATION, "file_operations")
    if not read:
        raise invalid("file_operations", f"The operation on {path!r} is missing: writeFile or deleteFile.")
    return base64.b64decode(read["writeFile"].get("contents", "")) if "writeFile" in read else None

"""The methods of Dataform that concern the notebooks of jobs: repositories, commits, and reading both.

Git remotes, workspaces, folders, policies and the compilation of SQL are not emulated.
"""

from __future__ import annotations

import base64
from functools import partial
from typing import Any

from airflow_nbjobs.emulator.dataform.files import entries
from airflow_nbjobs.emulator.dataform.model import Repositories, Repository
from airflow_nbjobs.emulator.dataform.pages import page
from airflow_nbjobs.emulator.dataform.schema import COMMIT, NOT_KEPT, OPERATION, REPOSITORY
from airflow_nbjobs.emulator.errors import ServiceError, invalid
from airflow_nbjobs.emulator.http import MethodRequest, MethodRoute
from airflow_nbjobs.emulator.json_format import read_message

_REPOSITORIES = "/v1/projects/{project}/locations/{location}/repositories"
_REPOSITORY = _REPOSITORIES + "/{repository}"


def routes(repositories: Repositories) -> list[MethodRoute]:
    """Return the routes of all methods; more specific paths come first."""
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


async def create_repository(repositories: Repositories, call: MethodRequest) -> dict[str, Any]:
    """Create an empty repository."""
    repository_id = call.only("repositoryId").get("repositoryId", "")
    body = read_message(call.body, REPOSITORY, "repository")
    if "gitRemoteSettings" in body:
        raise ServiceError(501, "The emulator has no Git remotes: omit git_remote_settings.")
    kept = {field: value for field, value in body.items() if field not in NOT_KEPT}
    return repositories.create(call.parent, repository_id, kept).to_wire()


async def get_repository(repositories: Repositories, call: MethodRequest) -> dict[str, Any]:
    """Answer with a repository."""
    call.only()
    return _repository(repositories, call).to_wire()


async def list_repositories(repositories: Repositories, call: MethodRequest) -> dict[str, Any]:
    """Answer with a page of repositories, by name."""
    query = call.only("filter", "orderBy", "pageSize", "pageToken")
    if query.get("filter"):
        raise ServiceError(501, f"The emulator does not filter repositories: {query['filter']!r}.")
    order = query.get("orderBy", "").split()
    if order not in ([], ["name"], ["name", "asc"], ["name", "desc"]):
        raise invalid("order_by", f"Invalid order_by {query['orderBy']!r}: repositories are ordered by name.")
    found = [(repository.id, repository.to_wire()) for repository in repositories.list_all(call.parent)]
    return page("repositories", found, call.path, query, descending="desc" in order)


async def delete_repository(repositories: Repositories, call: MethodRequest) -> dict[str, Any]:
    """Delete a repository; the answer is empty."""
    force = call.only("force").get("force", "false")  # no repository here has anything that needs force
    if force not in ("true", "false"):
        raise invalid("force", f"Invalid value at 'force' (TYPE_BOOL), {force!r}")
    repositories.delete(_repository(repositories, call))
    return {}


async def commit(repositories: Repositories, call: MethodRequest) -> dict[str, Any]:
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


async def read_file(repositories: Repositories, call: MethodRequest) -> dict[str, Any]:
    """Answer with a file's content at a commit."""
    query = call.only("path", "commitSha")
    if not query.get("path"):
        raise invalid("path", "The path of the file is required.")
    content = repositories.read(_repository(repositories, call), query["path"], query.get("commitSha", ""))
    return {"contents": base64.b64encode(content).decode()} if content else {}


async def query_directory_contents(repositories: Repositories, call: MethodRequest) -> dict[str, Any]:
    """Answer with a page of the entries of a directory at a commit."""
    query = call.only("path", "commitSha", "pageSize", "pageToken")
    files = repositories.files(_repository(repositories, call), query.get("commitSha", ""))
    return page("directoryEntries", entries(files, query.get("path", "")), call.path, query)


async def fetch_history(repositories: Repositories, call: MethodRequest) -> dict[str, Any]:
    """Answer with a page of the commits, newest first."""
    query = call.only("pageSize", "pageToken")
    history = repositories.history(_repository(repositories, call))
    found = [(f"{commit.seq:019}", commit.to_wire()) for commit in reversed(history)]
    return page("commits", found, call.path, query, descending=True)


def _repository(repositories: Repositories, call: MethodRequest) -> Repository:
    return repositories.get(call.parent, call.path["repository"])


def _change(path: str, operation: object) -> bytes | None:
    read = read_message(operation, OPERATION, "file_operations")
    if not read:
        raise invalid("file_operations", f"The operation on {path!r} is missing: writeFile or deleteFile.")
    return base64.b64decode(read["writeFile"].get("contents", "")) if "writeFile" in read else None

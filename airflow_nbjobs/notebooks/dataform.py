"""Notebooks in Dataform: BigQuery Studio and Colab Enterprise keep each notebook in its own repository.

Methods and fields: discovery document ``dataform.v1``, revision 20261030.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

from airflow_nbjobs.api.calls import Call, Page
from airflow_nbjobs.api.client import Client
from airflow_nbjobs.api.endpoint import Endpoint
from airflow_nbjobs.exceptions import InvalidArgumentError, InvalidNotebookJobError, NotFoundError

__all__ = ["dataform_endpoint", "newest_commit", "read_repository"]

_FILE = "content.ipynb"
_REPOSITORY = re.compile(r"projects/[^/\s]+/locations/[^/\s]+/repositories/[^/\s]+")


def dataform_endpoint(emulator: str | None = None) -> Endpoint:
    """Return the endpoint of Dataform.

    :param emulator: address of an emulator, as in ``NBJOBS_EMULATOR_HOST``; it gets no credentials.
    """
    return Endpoint.of_emulator(emulator) if emulator else Endpoint("https://dataform.googleapis.com", is_trusted=True)


def newest_commit(client: Client, repository: str) -> str | None:
    """Return the hash of the newest commit of a repository, or ``None`` when it has no commits.

    :param repository: ``projects/p/locations/l/repositories/r``.
    :raises ApiError: when Dataform refuses.
    """
    call = Call("GET", _path(repository, "fetchHistory"), _first_commit, {"pageSize": "1"})
    return client.send(call)


def read_repository(client: Client, repository: str, commit: str | None = None) -> bytes:
    """Return the notebook of a repository: ``content.ipynb``, or the only ``.ipynb`` at its root.

    :param repository: ``projects/p/locations/l/repositories/r``.
    :param commit: hash of a commit; by default the newest.
    :raises InvalidNotebookJobError: when there is no notebook, or more than one.
    :raises ApiError: when Dataform refuses.
    """
    pinned = {"commitSha": commit} if commit else {}
    try:
        return _read(client, repository, _FILE, pinned)
    except (NotFoundError, InvalidArgumentError):  # Dataform does not document which of them a missing file is
        names = list(_notebooks(client, repository, pinned))
    if len(names) != 1:
        raise InvalidNotebookJobError(
            f"notebook={repository!r} has no {_FILE!r}, and {len(names) or 'no'} other notebooks at its root. "
            "Name a repository of Colab Enterprise or BigQuery Studio, which has one."
        )
    return _read(client, repository, names[0], pinned)


def _read(client: Client, repository: str, file: str, pinned: dict[str, str]) -> bytes:
    return client.send(Call("GET", _path(repository, "readFile"), _contents, {"path": file, **pinned}))


def _notebooks(client: Client, repository: str, pinned: dict[str, str]) -> Iterator[str]:
    read = Page.reader("directoryEntries", lambda entry: str(entry.get("file") or ""))
    for file in client.pages(Call("GET", _path(repository, "queryDirectoryContents"), read, pinned)):
        if file.endswith(".ipynb"):
            yield file


def _contents(answer: dict[str, Any]) -> bytes:
    return base64.b64decode(answer.get("contents") or "", validate=True)


def _first_commit(answer: dict[str, Any]) -> str | None:
    commits = answer.get("commits") or []
    return str(commits[0]["commitSha"]) if commits else None


def _path(repository: str, method: str) -> str:
    if not _REPOSITORY.fullmatch(repository) or {".", ".."} & set(repository.split("/")):
        raise InvalidNotebookJobError(
            f"notebook={repository!r} is not a repository. Write 'projects/p/locations/l/repositories/r'."
        )
    return f"/v1/{quote(repository)}:{method}"

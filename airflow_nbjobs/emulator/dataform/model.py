"""The repositories of Dataform, where Colab Enterprise and BigQuery Studio keep notebooks, each in its own repository.

Repositories and their commits are in a SQLite file beside that of the jobs, whose lock covers this file too. Each
commit keeps the list of all its files; equal contents are kept once. There are no branches, workspaces or remotes.
"""

from __future__ import annotations

import hashlib
import json
import re
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from airflow_nbjobs.emulator.database import Clock, open_database, timestamp, transaction
from airflow_nbjobs.emulator.dataform.files import changed, digest_of, only_notebook
from airflow_nbjobs.emulator.errors import ServiceError, invalid, not_found
from airflow_nbjobs.emulator.resources import Parent

_SCHEMA = """
PRAGMA foreign_keys = ON;
PRAGMA synchronous = OFF;
CREATE TABLE IF NOT EXISTS repositories (
    seq INTEGER PRIMARY KEY, number TEXT NOT NULL, location TEXT NOT NULL, id TEXT NOT NULL, body TEXT NOT NULL,
    created INTEGER NOT NULL, UNIQUE (number, location, id));
CREATE TABLE IF NOT EXISTS commits (
    seq INTEGER PRIMARY KEY, repository INTEGER NOT NULL REFERENCES repositories ON DELETE CASCADE,
    sha TEXT NOT NULL, metadata TEXT NOT NULL, files TEXT NOT NULL, time INTEGER NOT NULL, UNIQUE (repository, sha));
CREATE TABLE IF NOT EXISTS contents (
    repository INTEGER NOT NULL REFERENCES repositories ON DELETE CASCADE, digest TEXT NOT NULL, content BLOB NOT NULL,
    PRIMARY KEY (repository, digest));
"""
_NAME = re.compile(r"projects/([^/]+)/locations/([^/]+)/repositories/([^/]+)")
# The rule that Dataform's console shows; the maximal length is not documented.
_ID = re.compile(r"[A-Za-z0-9_-]{1,63}")


@dataclass(frozen=True)
class Repository:
    """A repository, without its content."""

    seq: int
    parent: Parent
    id: str
    body: dict[str, Any]
    created: int

    @property
    def name(self) -> str:
        """The resource name, with the project's number."""
        return f"{self.parent}/repositories/{self.id}"

    def to_wire(self) -> dict[str, Any]:
        """Return the JSON of the resource."""
        return {"name": self.name, **self.body, "createTime": timestamp(self.created)}


@dataclass(frozen=True)
class Commit:
    """A commit; ``metadata`` is its author and message in their wire form."""

    seq: int
    sha: str
    metadata: dict[str, Any]
    time: int

    def to_wire(self) -> dict[str, Any]:
        """Return the entry of a history."""
        return {"commitSha": self.sha, **self.metadata, "commitTime": timestamp(self.time)}


class Repositories:
    """All repositories of one data directory; used from the emulator's event loop only.

    :param path: the SQLite file; made when it does not exist.
    """

    def __init__(self, path: Path) -> None:
        self._db = open_database(path)
        self._db.executescript(_SCHEMA)
        self._clock = Clock(self._db.execute("SELECT coalesce(max(time), 0) FROM commits").fetchone()[0])

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def create(self, parent: Parent, repository_id: str, body: Mapping[str, Any]) -> Repository:
        """Create a repository without commits.

        :raises ServiceError: 400 for an invalid id, 409 ALREADY_EXISTS when it is taken.
        """
        if not _ID.fullmatch(repository_id):
            rule = "it has 1 to 63 letters, digits, underscores and dashes"
            raise invalid("repository_id", f"Invalid repository_id {repository_id!r}: {rule}.")
        sql = "INSERT INTO repositories (number, location, id, body, created) VALUES (?, ?, ?, ?, ?)"
        row = (parent.number, parent.location, repository_id, json.dumps(body), self._clock.now())
        try:
            self._db.execute(sql, row)
        except sqlite3.IntegrityError:
            raise ServiceError(409, f"{parent}/repositories/{repository_id} already exists.") from None
        return self.get(parent, repository_id)

    def get(self, parent: Parent, repository_id: str) -> Repository:
        """Read a repository.

        :raises ServiceError: 404 when it does not exist.
        """
        sql = "SELECT * FROM repositories WHERE number = ? AND location = ? AND id = ?"
        row = self._db.execute(sql, (parent.number, parent.location, repository_id)).fetchone()
        if row is None:
            raise not_found(f"{parent}/repositories/{repository_id}")
        return _repository(row)

    def list_all(self, parent: Parent) -> list[Repository]:
        """Read the repositories of a project in a location, by id."""
        sql = "SELECT * FROM repositories WHERE number = ? AND location = ? ORDER BY id"
        return [_repository(row) for row in self._db.execute(sql, (parent.number, parent.location))]

    def delete(self, repository: Repository) -> None:
        """Delete a repository and all its commits."""
        self._db.execute("DELETE FROM repositories WHERE seq = ?", (repository.seq,))

    def commit(
        self,
        repository: Repository,
        changes: Mapping[str, bytes | None],
        metadata: Mapping[str, Any],
        required_head: str = "",
    ) -> str:
        """Commit changes and return the hash of the commit.

        :param changes: for each path the new content, or None for a file to delete.
        :param metadata: author and message in their wire form.
        :param required_head: the hash that the newest commit must have; empty for any.
        :raises ServiceError: 400 when another commit is the newest, for an invalid path, or a missing file to delete.
        """
        newest = next(iter(self.history(repository)), None)
        head = newest.sha if newest else ""
        if required_head not in ("", head):
            text = f"The newest commit of {repository.name} is {head or 'none'}, not {required_head!r}."
            raise invalid("required_head_commit_sha", text)
        files = changed(self.files(repository), changes)
        now = self._clock.now()
        # 40 hexadecimal digits that depend on the content and the history, as Git's.
        whole = json.dumps([repository.name, head, metadata, files, now])
        sha = hashlib.sha1(whole.encode(), usedforsecurity=False).hexdigest()
        with transaction(self._db):
            for content in changes.values():
                if content is not None:
                    row = (repository.seq, digest_of(content), content)
                    self._db.execute("INSERT OR IGNORE INTO contents VALUES (?, ?, ?)", row)
            sql = "INSERT INTO commits (repository, sha, metadata, files, time) VALUES (?, ?, ?, ?, ?)"
            self._db.execute(sql, (repository.seq, sha, json.dumps(metadata), json.dumps(files), now))
        return sha

    def history(self, repository: Repository) -> list[Commit]:
        """Read the commits, newest first."""
        sql = "SELECT seq, sha, metadata, time FROM commits WHERE repository = ? ORDER BY seq DESC"
        rows = self._db.execute(sql, (repository.seq,))
        return [Commit(row["seq"], row["sha"], json.loads(row["metadata"]), row["time"]) for row in rows]

    def files(self, repository: Repository, sha: str = "") -> dict[str, str]:
        """Read the paths of all files at a commit, by default the newest, each with the digest of its content.

        :returns: empty for a repository without commits.
        :raises ServiceError: 404 when the commit does not exist.
        """
        sql = "SELECT files FROM commits WHERE repository = ? AND ? IN ('', sha) ORDER BY seq DESC LIMIT 1"
        row = self._db.execute(sql, (repository.seq, sha)).fetchone()
        if row is None and sha:
            raise ServiceError(404, f"{repository.name} has no commit {sha!r}.")
        files: dict[str, str] = json.loads(row["files"]) if row else {}
        return files

    def read(self, repository: Repository, path: str, sha: str = "") -> bytes:
        """Read a file at a commit, by default the newest.

        :raises ServiceError: 404 when the commit, or the file in it, does not exist.
        """
        digest = self.files(repository, sha).get(path)
        if digest is None:
            raise ServiceError(404, f"{repository.name} has no file {path!r} at {sha or 'its newest commit'}.")
        sql = "SELECT content FROM contents WHERE repository = ? AND digest = ?"
        content: bytes = self._db.execute(sql, (repository.seq, digest)).fetchone()[0]
        return content

    def read_notebook(self, name: str, sha: str = "") -> bytes:
        """Read ``content.ipynb``, or the only notebook at the root of a repository.

        :param name: ``projects/p/locations/l/repositories/r``, by the project's id or number.
        :raises ServiceError: when the repository or the commit does not exist, or has no notebook, or several.
        """
        repository = self.get(*_parsed(name))
        path = only_notebook(self.files(repository, sha))
        if path is None:
            at = f"{repository.name} at {sha or 'its newest commit'}"
            raise ServiceError(404, f"{at} has no content.ipynb, and not exactly one other notebook at its root.")
        return self.read(repository, path, sha)

    def put(self, name: str, path: str, content: bytes) -> str:
        """Commit one file, to a new repository if it does not exist, and return the hash of the commit.

        :raises ServiceError: 400 for an invalid name or path.
        """
        parent, repository_id = _parsed(name)
        try:
            repository = self.get(parent, repository_id)
        except ServiceError:
            repository = self.create(parent, repository_id, {})
        author = {"name": "Emulator", "emailAddress": "emulator@local.iam.gserviceaccount.com"}
        return self.commit(repository, {path: content}, {"author": author, "commitMessage": f"Write {path}"})


def _repository(row: sqlite3.Row) -> Repository:
    parent = Parent(row["number"], row["location"])
    return Repository(row["seq"], parent, row["id"], json.loads(row["body"]), row["created"])


def _parsed(name: str) -> tuple[Parent, str]:
    match = _NAME.fullmatch(name)
    if not match:
        form = "projects/PROJECT/locations/LOCATION/repositories/ID"
        raise invalid("name", f"Invalid repository {name!r}: it must be {form}.")
    return Parent.parse(match[1], match[2]), match[3]

"""Every job and operation that was ever accepted, in one SQLite file.

SQLite's exclusive lock gives the file to one emulator; it is released when the process ends, however that happens.
Writes are not synced to the disk one by one: they survive the end of the process, not that of the machine.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from airflow_nbjobs.emulator.database import Clock, open_database, timestamp, transaction
from airflow_nbjobs.emulator.errors import EmulatorError
from airflow_nbjobs.emulator.jobs import states
from airflow_nbjobs.emulator.jobs.filters import matches_part, matches_whole
from airflow_nbjobs.emulator.resources import Parent, with_project_number

# `content` is not in `body`, so that a page of jobs is read without its notebooks.
_SCHEMA = """
PRAGMA locking_mode = EXCLUSIVE;
PRAGMA journal_mode = WAL;
PRAGMA synchronous = OFF;
BEGIN EXCLUSIVE;
CREATE TABLE IF NOT EXISTS jobs (
    seq INTEGER PRIMARY KEY, number TEXT NOT NULL, location TEXT NOT NULL, id TEXT NOT NULL,
    display_name TEXT NOT NULL, schedule TEXT NOT NULL, schedule_id TEXT NOT NULL, body TEXT NOT NULL, content TEXT,
    state TEXT NOT NULL, status TEXT, created INTEGER NOT NULL, updated INTEGER NOT NULL,
    deleted INTEGER NOT NULL DEFAULT 0);
CREATE UNIQUE INDEX IF NOT EXISTS by_id ON jobs (number, location, id) WHERE NOT deleted;
CREATE INDEX IF NOT EXISTS by_any_id ON jobs (id, seq);
CREATE INDEX IF NOT EXISTS by_created ON jobs (number, location, created, seq) WHERE NOT deleted;
CREATE INDEX IF NOT EXISTS by_updated ON jobs (number, location, updated, seq) WHERE NOT deleted;
CREATE INDEX IF NOT EXISTS by_display_name ON jobs (number, location, display_name, seq) WHERE NOT deleted;
CREATE TABLE IF NOT EXISTS history (job INTEGER NOT NULL, state TEXT NOT NULL, time INTEGER NOT NULL);
CREATE INDEX IF NOT EXISTS history_by_job ON history (job);
CREATE TABLE IF NOT EXISTS operations (
    id TEXT PRIMARY KEY, job INTEGER NOT NULL, kind TEXT NOT NULL, created INTEGER NOT NULL, updated INTEGER NOT NULL,
    done INTEGER, cancelled INTEGER NOT NULL DEFAULT 0);
CREATE INDEX IF NOT EXISTS operations_by_job ON operations (job);
COMMIT;
"""


@dataclass(frozen=True)
class Job:
    """A job as it is now. Times are nanoseconds since the epoch; ``seq`` is the number of its row."""

    seq: int
    parent: Parent
    id: str
    body: dict[str, Any]
    content: str | None
    state: str
    status: dict[str, Any] | None
    created: int
    updated: int
    deleted: bool

    @property
    def name(self) -> str:
        """The resource name, with the project's number."""
        return f"{self.parent}/notebookExecutionJobs/{self.id}"

    @property
    def is_active(self) -> bool:
        """Whether the job has not ended yet."""
        return self.state not in states.TERMINAL

    def to_wire(self, *, full: bool = False) -> dict[str, Any]:
        """Return the JSON of the resource; only the full view has the notebook of a direct source."""
        wire = {"name": self.name, **self.body, "jobState": self.state}
        if full and self.content is not None:
            wire["directNotebookSource"] = {"content": self.content}
        if self.status is not None:
            wire["status"] = self.status
        return {**wire, "createTime": timestamp(self.created), "updateTime": timestamp(self.updated)}

    def describe(self) -> dict[str, Any]:
        """Return what :meth:`Book.everything` says of the job, except its history."""
        wire = self.to_wire()
        fields = {key: wire[key] for key in ("name", "displayName", "createTime")}
        return {**fields, "id": self.id, "labels": wire.get("labels", {}), "state": self.state, "deleted": self.deleted}


@dataclass(frozen=True)
class Operation:
    """A long-running operation; ``done`` is when it is done, which may be in the future."""

    id: str
    job: int
    kind: str
    created: int
    updated: int
    done: int | None
    cancelled: int


_WITHOUT_CONTENT = "seq, number, location, id, body, NULL AS content, state, status, created, updated, deleted"
_OPERATION = "o.id, o.job, o.kind, o.created, o.updated, o.done, o.cancelled"


class Book:
    """The jobs of one data directory.

    :param path: the SQLite file, made when it does not exist.
    :param filter_match: what a regex in a filter must match.
    :raises EmulatorError: when another emulator has it open.
    """

    def __init__(self, path: Path, *, filter_match: Literal["whole", "part"] = "whole") -> None:
        self._db = open_database(path, lock_timeout=0.0)
        self._db.create_function(
            "REGEXP", 2, matches_part if filter_match == "part" else matches_whole, deterministic=True
        )
        try:
            self._db.executescript(_SCHEMA)
        except sqlite3.OperationalError as error:
            self._db.close()
            if "locked" not in str(error):
                raise
            raise EmulatorError(f"{path.parent} is in use by another emulator: end that one, or give --data") from None
        last = self._db.execute("SELECT max(updated) FROM jobs").fetchone()[0]
        self.clock = Clock(last or 0)

    def close(self) -> None:
        """Close the file and release its lock."""
        self._db.close()

    def add_job(self, parent: Parent, job_id: str, job: dict[str, Any], operation_id: str) -> Job | None:
        """Add a job in the state QUEUED, with its create operation.

        :returns: the job; None when a job with this id exists.
        """
        body = {key: value for key, value in job.items() if key != "directNotebookSource"}
        content = job.get("directNotebookSource", {}).get("content")
        schedule = with_project_number(body.get("scheduleResourceName", ""))
        now = self.clock.now()
        row = (parent.number, parent.location, job_id, job["displayName"], schedule, schedule.rpartition("/")[2])
        insert = (
            "INSERT INTO jobs (number, location, id, display_name, schedule, schedule_id, body, content, state, "
            "created, updated) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
        )
        try:
            with transaction(self._db):
                cursor = self._db.execute(insert, (*row, json.dumps(body), content, states.QUEUED, now, now))
                seq = cursor.lastrowid or 0
                self._db.execute("INSERT INTO history VALUES (?, ?, ?)", (seq, states.QUEUED, now))
                self.add_operation(seq, "create", operation_id, now)
        except sqlite3.IntegrityError:
            return None
        return self.job(seq)

    def job(self, seq: int) -> Job:
        """Read a job by the number of its row, deleted or not."""
        return _job(self._db.execute("SELECT * FROM jobs WHERE seq = ?", (seq,)).fetchone())

    def find(self, parent: Parent, job_id: str, *, deleted: bool = False) -> Job | None:
        """Read a job by its id, or None; with ``deleted``, the newest deleted one when no other has the id."""
        sql = "SELECT * FROM jobs WHERE number = ? AND location = ? AND id = ?"
        sql += " ORDER BY deleted, seq DESC LIMIT 1" if deleted else " AND NOT deleted"
        row = self._db.execute(sql, (parent.number, parent.location, job_id)).fetchone()
        return _job(row) if row else None

    def latest(self, limit: int) -> list[Job]:
        """Read the newest jobs of all projects that are not deleted, without the content of their notebooks."""
        sql = f"SELECT {_WITHOUT_CONTENT} FROM jobs WHERE NOT deleted ORDER BY seq DESC LIMIT ?"  # noqa: S608 - constants
        return [_job(row) for row in self._db.execute(sql, (limit,))]

    def find_id(self, job_id: str) -> Job | None:
        """Read the newest job with this id in any project and location that is not deleted, or None."""
        sql = "SELECT * FROM jobs WHERE id = ? AND NOT deleted ORDER BY seq DESC LIMIT 1"
        row = self._db.execute(sql, (job_id,)).fetchone()
        return _job(row) if row else None

    def page(self, parent: Parent, where: str, parameters: Sequence[Any], order: str, limit: int) -> list[Job]:
        """Read jobs that are not deleted, without the content of their notebooks.

        :param where: an SQL condition, with its parameters.
        :param order: columns for ORDER BY.
        """
        sql = (
            f"SELECT {_WITHOUT_CONTENT} FROM jobs WHERE number = ? AND location = ? AND NOT deleted AND {where} "  # noqa: S608 - filters.py makes it of constants
            f"ORDER BY {order} LIMIT ?"
        )
        rows = self._db.execute(sql, (parent.number, parent.location, *parameters, limit))
        return [_job(row) for row in rows]

    def move(self, seq: int, state: str, *, status: dict[str, Any] | None = None, cleanup: int = 0) -> None:
        """Change a job's state; a terminal state also sets the end of its create operation.

        :param cleanup: nanoseconds from the end of the job to the end of its create operation.
        :raises ValueError: when the move is not legal, which is an error of the emulator.
        """
        old = self.job(seq).state
        if not states.is_legal(old, state):
            raise ValueError(f"job {seq}: cannot move from {old} to {state}")
        now = self.clock.now()
        with transaction(self._db):
            self._db.execute(
                "UPDATE jobs SET state = ?, status = ?, updated = ? WHERE seq = ?",
                (state, json.dumps(status) if status else None, now, seq),
            )
            self._db.execute("INSERT INTO history VALUES (?, ?, ?)", (seq, state, now))
            if state in states.TERMINAL:
                cancelled = state == states.CANCELLED
                self._db.execute(
                    "UPDATE operations SET done = ?, updated = ?, cancelled = ? WHERE job = ? AND kind = 'create'",
                    (now + cleanup, now + cleanup, cancelled, seq),
                )

    def active(self) -> list[Job]:
        """Read the jobs that have not ended and are not deleted."""
        marks = ", ".join("?" * len(states.TERMINAL))
        sql = f"SELECT * FROM jobs WHERE NOT deleted AND state NOT IN ({marks})"  # noqa: S608 - question marks only
        return [_job(row) for row in self._db.execute(sql, tuple(states.TERMINAL))]

    def delete_job(self, seq: int, operation_id: str) -> None:
        """Mark a job as deleted and its delete operation as done."""
        now = self.clock.now()
        with transaction(self._db):
            self._db.execute("UPDATE jobs SET deleted = 1 WHERE seq = ?", (seq,))
            self._db.execute("UPDATE operations SET done = ?, updated = ? WHERE id = ?", (now, now, operation_id))

    def unfinished_deletes(self) -> list[Operation]:
        """Read the delete operations that are not done."""
        sql = f"SELECT {_OPERATION} FROM operations o WHERE kind = 'delete' AND done IS NULL"  # noqa: S608 - constants
        return [Operation(*row) for row in self._db.execute(sql)]

    def add_operation(self, seq: int, kind: str, operation_id: str, now: int | None = None) -> None:
        """Add an operation, of the kind ``create`` or ``delete``, to a job."""
        now = now or self.clock.now()
        sql = "INSERT INTO operations (id, job, kind, created, updated) VALUES (?, ?, ?, ?, ?)"
        self._db.execute(sql, (operation_id, seq, kind, now, now))

    def operations(self, parent: Parent, job_id: str) -> list[Operation]:
        """Read the operations of all jobs that had this id, newest first."""
        sql = (
            f"SELECT {_OPERATION} FROM operations o JOIN jobs j ON j.seq = o.job "  # noqa: S608 - constants
            "WHERE j.number = ? AND j.location = ? AND j.id = ? ORDER BY o.created DESC"
        )
        rows = self._db.execute(sql, (parent.number, parent.location, job_id))
        return [Operation(*row) for row in rows]

    def everything(self, number: str | None = None) -> list[dict[str, Any]]:
        """Describe all jobs, deleted ones too, in the order of creation; of one project when its number is given."""
        chosen = "FROM jobs WHERE :number IS NULL OR number = :number"
        jobs = self._db.execute(f"SELECT * {chosen} ORDER BY seq", {"number": number})
        history = f"SELECT job, state, time FROM history WHERE job IN (SELECT seq {chosen}) ORDER BY job, time"  # noqa: S608 - constants
        histories: dict[int, list[dict[str, str]]] = {}
        for row in self._db.execute(history, {"number": number}):
            histories.setdefault(row["job"], []).append({"state": row["state"], "time": timestamp(row["time"])})
        return [_job(row).describe() | {"history": histories[row["seq"]]} for row in jobs]


def _job(row: sqlite3.Row) -> Job:
    fields = {field: row[field] for field in ("seq", "id", "content", "state", "created", "updated")}
    return Job(
        **fields,
        parent=Parent(row["number"], row["location"]),
        body=json.loads(row["body"]),
        status=json.loads(row["status"]) if row["status"] else None,
        deleted=bool(row["deleted"]),
    )

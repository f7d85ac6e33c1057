"""Schedules and runtime templates in one SQLite file, each as the JSON that is answered, and their operations."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from typing import Any

from airflow_nbjobs.emulator.database import open_database
from airflow_nbjobs.emulator.errors import ServiceError, not_found
from airflow_nbjobs.emulator.resources import Parent

_SCHEMA = """
PRAGMA synchronous = OFF;
CREATE TABLE IF NOT EXISTS resources (
    seq INTEGER PRIMARY KEY, parent TEXT NOT NULL, collection TEXT NOT NULL, id TEXT NOT NULL, wire TEXT NOT NULL,
    deleted INTEGER NOT NULL DEFAULT 0, UNIQUE (parent, collection, id));
CREATE TABLE IF NOT EXISTS operations (
    seq INTEGER PRIMARY KEY, resource TEXT NOT NULL, id TEXT NOT NULL, wire TEXT NOT NULL, UNIQUE (resource, id));
"""

Wire = dict[str, Any]
"""A resource as the JSON that is answered."""


class Records:
    """The resources of one data directory; used from the emulator's event loop only.

    :param path: the SQLite file; made when it does not exist.
    """

    def __init__(self, path: Path) -> None:
        self._db = open_database(path)
        self._db.executescript(_SCHEMA)

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def add(self, parent: Parent, collection: str, resource_id: str, wire: Wire) -> None:
        """Add a resource.

        :raises ServiceError: 409 ALREADY_EXISTS when the id is taken, also by a resource that was deleted.
        """
        sql = "INSERT INTO resources (parent, collection, id, wire) VALUES (?, ?, ?, ?)"
        try:
            self._db.execute(sql, (str(parent), collection, resource_id, json.dumps(wire)))
        except sqlite3.IntegrityError:
            raise ServiceError(409, f"{parent}/{collection}/{resource_id} already exists.") from None

    def get(self, parent: Parent, collection: str, resource_id: str) -> Wire:
        """Read a resource.

        :raises ServiceError: 404 when it does not exist.
        """
        sql = "SELECT wire FROM resources WHERE parent = ? AND collection = ? AND id = ? AND NOT deleted"
        row = self._db.execute(sql, (str(parent), collection, resource_id)).fetchone()
        if row is None:
            raise not_found(f"{parent}/{collection}/{resource_id}")
        wire: Wire = json.loads(row["wire"])
        return wire

    def put(self, wire: Wire) -> None:
        """Write a resource that exists, found by its name."""
        parent, collection, resource_id = _split(wire["name"])
        sql = "UPDATE resources SET wire = ? WHERE parent = ? AND collection = ? AND id = ?"
        self._db.execute(sql, (json.dumps(wire), parent, collection, resource_id))

    def delete(self, wire: Wire) -> None:
        """Mark a resource as deleted; its id stays taken."""
        sql = "UPDATE resources SET deleted = 1 WHERE parent = ? AND collection = ? AND id = ?"
        self._db.execute(sql, _split(wire["name"]))

    def all(self, collection: str, parent: Parent | None = None) -> list[Wire]:
        """Read the resources of a collection in one place, or in all, in the order of their creation."""
        sql = "SELECT wire FROM resources WHERE collection = ? AND ? IN ('', parent) AND NOT deleted ORDER BY seq"
        return [json.loads(row["wire"]) for row in self._db.execute(sql, (collection, str(parent or "")))]

    def add_operation(self, operation: Wire) -> None:
        """Add an operation, which is done."""
        resource, _, operation_id = operation["name"].partition("/operations/")
        sql = "INSERT INTO operations (resource, id, wire) VALUES (?, ?, ?)"
        self._db.execute(sql, (resource, operation_id, json.dumps(operation)))

    def operations(self, resource: str) -> list[Wire]:
        """Read the operations of a resource, the newest first, by the resource's name."""
        sql = "SELECT wire FROM operations WHERE resource = ? ORDER BY seq DESC"
        return [json.loads(row["wire"]) for row in self._db.execute(sql, (resource,))]


def _split(name: str) -> tuple[str, str, str]:
    parent, collection, resource_id = name.rsplit("/", 2)
    return parent, collection, resource_id

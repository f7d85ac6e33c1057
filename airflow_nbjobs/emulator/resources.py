"""Resource names and ids as the service answers with them: project numbers, 19-digit ids."""

from __future__ import annotations

import hashlib
import re
import secrets
from dataclasses import dataclass

from airflow_nbjobs.emulator.errors import invalid

_PROJECT = re.compile(r"[a-z][a-z0-9.:-]{0,62}|[1-9][0-9]{0,18}")
_LOCATION = re.compile(r"[a-z][a-z0-9-]{0,62}")


def project_number(project: str) -> str:
    """Return the project's number: a number stays, an id becomes 12 digits that depend on the id alone."""
    if re.fullmatch("[0-9]+", project):
        return project
    digest = int.from_bytes(hashlib.sha256(project.encode()).digest()[:8], "big")
    return str(10**11 + digest % (9 * 10**11))


def new_id() -> str:
    """Return a random id of 19 digits, the length of the service's own ids."""
    return str(10**18 + secrets.randbelow(8 * 10**18))


def with_project_number(name: str) -> str:
    """Return a resource name with its project's number, so that both spellings of one project compare equal."""
    match = re.fullmatch(r"projects/([^/]+)/(.+)", name)
    return f"projects/{project_number(match[1])}/{match[2]}" if match else name


@dataclass(frozen=True)
class Parent:
    """A project, known by its number, and a location."""

    number: str
    location: str

    @classmethod
    def parse(cls, project: str, location: str) -> Parent:
        """Read the two segments of a request's path.

        :raises ServiceError: 400 for a malformed project id, project number or location.
        """
        if not _PROJECT.fullmatch(project):
            raise invalid("parent", f"Invalid project id or number: {project!r}")
        if not _LOCATION.fullmatch(location):
            raise invalid("parent", f"Invalid location: {location!r}")
        return cls(project_number(project), location)

    @classmethod
    def of(cls, name: str) -> Parent:
        """Return the place of a resource, by its name with the project's number."""
        return cls(*name.split("/")[1:4:2])

    def __str__(self) -> str:
        return f"projects/{self.number}/locations/{self.location}"

"""The runtime templates of one emulator. They describe machines, which the emulator does not have."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Any

from airflow_nbjobs.emulator import operations
from airflow_nbjobs.emulator.database import Clock, timestamp
from airflow_nbjobs.emulator.errors import ServiceError, failed_precondition, invalid
from airflow_nbjobs.emulator.jobs.checks import check_labels
from airflow_nbjobs.emulator.json_format import camel_case, duration_nanoseconds
from airflow_nbjobs.emulator.records import Records, Wire
from airflow_nbjobs.emulator.resources import Parent, new_id, with_project_number
from airflow_nbjobs.emulator.templates.schema import UPDATABLE

COLLECTION = "notebookRuntimeTemplates"
# The service documents no format; this is the one of a job's id.
_ID = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")


class Templates:
    """The runtime templates of one emulator; used from its event loop only.

    :param records: where they are stored.
    :param clock: for their times.
    :param given: ids of templates that exist in every project and location. If there are some, a job's template has to
        exist; otherwise any is accepted.
    """

    def __init__(self, records: Records, clock: Clock, given: Collection[str] = ()) -> None:
        self.records = records
        self._clock = clock
        self._given = sorted(given)
        self._started = timestamp(clock.peek())

    def check(self, name: str) -> None:
        """Check that the runtime template of a job exists, if any were given.

        :raises ServiceError: 404 when it does not.
        """
        parent, template_id = Parent.of(with_project_number(name)), name.rpartition("/")[2]
        known = [wire["name"].rpartition("/")[2] for wire in self.all(parent)]
        if self._given and template_id not in known:
            text = f"{name} does not exist. The runtime templates of this emulator are: {', '.join(sorted(known))}."
            raise ServiceError(404, text)

    def create(self, parent: Parent, template_id: str, template: Wire) -> Wire:
        """Create a template and return the operation.

        :param template_id: the user's id, or empty for a random one.
        :param template: in its wire form, read but not checked.
        :raises ServiceError: 400 that names the field that is wrong; 409 when the id is taken.
        """
        _check(template)
        if template_id and not _ID.fullmatch(template_id):
            raise invalid("notebook_runtime_template_id", f"Invalid notebook_runtime_template_id: {template_id!r}")
        name, time = f"{parent}/{COLLECTION}/{template_id or new_id()}", timestamp(self._clock.now())
        if template_id in self._given:
            raise ServiceError(409, f"{name} already exists.")
        # A user makes templates of this type only; ONE_CLICK is the type of the project's default template.
        typed = {"notebookRuntimeType": "USER_DEFINED", **template}
        made = {"name": name, **typed, "createTime": time, "updateTime": time, "etag": new_id()}
        self.records.add(parent, COLLECTION, name.rpartition("/")[2], made)
        metadata, response = "CreateNotebookRuntimeTemplateOperationMetadata", "NotebookRuntimeTemplate"
        return operations.begin(self.records, name, metadata, time, operations.typed(response, made))

    def get(self, parent: Parent, template_id: str) -> Wire:
        """Read a template.

        :raises ServiceError: 404 when it does not exist.
        """
        if template_id in self._given:
            return self._of_the_start(parent, template_id)
        return self.records.get(parent, COLLECTION, template_id)

    def all(self, parent: Parent) -> list[Wire]:
        """Read the templates of a place: those of the start, then in the order of their creation."""
        given = [self._of_the_start(parent, template_id) for template_id in self._given]
        return given + self.records.all(COLLECTION, parent)

    def patch(self, parent: Parent, template_id: str, changes: Wire, fields: list[str]) -> Wire:
        """Change fields; one that ``changes`` does not have is removed.

        :raises ServiceError: 400 for a field that cannot be changed; 409 when the ``etag`` is another one.
        """
        template = self._own(parent, template_id)
        if changes.get("etag", template["etag"]) != template["etag"]:
            raise ServiceError(409, f"The etag of {template['name']} is another one.", status="ABORTED")
        for field in map(camel_case, fields):
            if field not in UPDATABLE:
                known = ", ".join(sorted(UPDATABLE))
                raise invalid("update_mask", f"Invalid update_mask: {field!r} cannot be updated; known are {known}.")
            _copy(changes, template, field.split("."))
        _check(template)
        template |= {"updateTime": timestamp(self._clock.now()), "etag": new_id()}
        self.records.put(template)
        return template

    def delete(self, parent: Parent, template_id: str) -> Wire:
        """Delete a template and return the operation. Its id stays taken.

        :raises ServiceError: 404 when it does not exist.
        """
        template = self._own(parent, template_id)
        self.records.delete(template)
        time = timestamp(self._clock.now())
        return operations.begin(self.records, template["name"], "DeleteOperationMetadata", time, None)

    def _own(self, parent: Parent, template_id: str) -> Wire:
        if template_id in self._given:
            raise failed_precondition(f"{template_id!r} was given when the emulator was started, and stays as it is.")
        return self.get(parent, template_id)

    def _of_the_start(self, parent: Parent, template_id: str) -> Wire:
        times = {"createTime": self._started, "updateTime": self._started}
        name = f"{parent}/{COLLECTION}/{template_id}"
        return {"name": name, "displayName": template_id, "notebookRuntimeType": "USER_DEFINED", **times}


def _check(template: Wire) -> None:
    name = template.get("displayName", "")
    if not 1 <= len(name) <= 128:
        rule = "it is required and has at most 128 characters"
        raise invalid("notebook_runtime_template.display_name", f"Invalid display_name {name!r}: {rule}.")
    check_labels(template.get("labels", {}), "notebook_runtime_template")
    idle = template.get("idleShutdownConfig", {}).get("idleTimeout")
    if idle is not None and not 600 <= duration_nanoseconds(idle) / 10**9 <= 86_400:
        field = "notebook_runtime_template.idle_shutdown_config.idle_timeout"
        raise invalid(field, f"Invalid idle_timeout {idle!r}: it must be from 600s to 86400s.")


def _copy(source: dict[str, Any], target: dict[str, Any], path: list[str]) -> None:
    """Copy what is at a path, or remove it where the source has nothing."""
    for part in path[:-1]:
        source, target = source.get(part, {}), target.setdefault(part, {})
    if path[-1] in source:
        target[path[-1]] = source[path[-1]]
    else:
        target.pop(path[-1], None)

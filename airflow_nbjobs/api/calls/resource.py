"""What the methods of schedules and runtime templates have in common: get, list, patch and delete."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from airflow_nbjobs.api.calls.call import Call, Page, about
from airflow_nbjobs.api.calls.operations import parse_operation
from airflow_nbjobs.api.job import Operation
from airflow_nbjobs.api.names import ResourceName, check_parent
from airflow_nbjobs.api.schedule import Schedule
from airflow_nbjobs.api.template import NotebookRuntimeTemplate
from airflow_nbjobs.exceptions import InvalidNotebookJobError

__all__ = ["Resource"]

M = TypeVar("M", bound=Schedule | NotebookRuntimeTemplate)


@dataclass(frozen=True)
class Resource(Generic[M]):
    """A collection of the API.

    :ivar collection: its name in paths and lists, such as ``schedules``.
    :ivar kind: what an answer is parsed into.
    """

    collection: str
    kind: type[M]

    def get(self, name: str) -> Call[M]:
        """Get one, by its full name."""
        return Call("GET", self.path(name), about(name, self.parse))

    def list(
        self,
        parent: str,
        *,
        filter: str | None = None,  # noqa: A002 - the API's own word
        order_by: str | None = None,
        page_size: int | None = None,
    ) -> Call[Page[M]]:
        """List them, one page.

        :param parent: ``projects/p/locations/l``.
        :param filter: an expression of AIP-160; the reference of the REST method names the fields.
        :param order_by: fields, each with ``desc`` or without.
        :param page_size: 1 or more.
        :raises InvalidNotebookJobError: if the page size is not possible.
        """
        if page_size is not None and page_size < 1:
            raise InvalidNotebookJobError(f"page_size={page_size!r} is not possible: give 1 or more.")
        asked = {"filter": filter, "orderBy": order_by, "pageSize": page_size and str(page_size)}
        query = {key: value for key, value in asked.items() if value}
        return Call("GET", self.collection_path(parent), Page.reader(self.collection, self.parse), query)

    def patch(self, changed: M, fields: Iterable[str]) -> Call[M]:
        """Change fields. Only these are sent.

        :param changed: has the name, and the new values.
        :param fields: JSON names of the fields to change, such as ``cron`` or ``softwareConfig.env``.
        :raises InvalidNotebookJobError: if no field is named.
        """
        mask = list(fields)
        if not mask:
            raise InvalidNotebookJobError(f"No field of {changed.name} is named: say which ones are to be changed.")
        name, sent = changed.name or "", {field.partition(".")[0] for field in mask}
        body = {key: value for key, value in changed.to_request().items() if key in sent}
        return Call("PATCH", self.path(name), about(name, self.parse), {"updateMask": ",".join(mask)}, body)

    def delete(self, name: str) -> Call[Operation]:
        """Delete one. The operation is done and has no name if an earlier try deleted it and its answer was lost."""
        return Call("DELETE", self.path(name), parse_operation, when_gone=Operation(done=True))

    def path(self, name: str) -> str:
        """Return the path of one.

        :raises InvalidNotebookJobError: if it is not a full name.
        """
        return f"/v1/{ResourceName.parse(name, self.collection)}"

    def collection_path(self, parent: str) -> str:
        """Return the path of all that a location has.

        :raises InvalidNotebookJobError: if ``parent`` is not a location's name.
        """
        return f"/v1/{check_parent(parent)}/{self.collection}"

    def parse(self, answer: Any) -> M:
        """Parse one. Raises if it has no name of its kind: unrelated JSON would otherwise parse as an empty one."""
        found: M = self.kind.from_wire(answer)  # type: ignore[assignment]  # mypy takes the union apart
        ResourceName.parse(found.name, self.collection)
        return found

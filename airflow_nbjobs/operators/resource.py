"""What operators of schedules and of runtime templates have in common: their name, a list's limit, a delete's wait."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import islice
from typing import TYPE_CHECKING, Any, ClassVar

from airflow_nbjobs.api.names import ResourceName, resource_name
from airflow_nbjobs.api.pacing import ENDURING, positive_seconds
from airflow_nbjobs.exceptions import NbjobsError, NotFoundError
from airflow_nbjobs.links import NotebookScheduleLink
from airflow_nbjobs.operators.operator import NotebookJobOperator, explaining_missing

if TYPE_CHECKING:
    from airflow_nbjobs.api.job import Operation
    from airflow_nbjobs.api.schedule import Schedule
    from airflow_nbjobs.api.template import NotebookRuntimeTemplate
    from airflow_nbjobs.resources import ScheduleMethods, TemplateMethods

__all__ = ["ResourceOperator"]


class ResourceOperator(NotebookJobOperator):
    """An operator of schedules or of runtime templates.

    :cvar collection: ``schedules`` or ``notebookRuntimeTemplates``.
    :cvar what: the resource in sentences.
    """

    collection: ClassVar[str]
    what: ClassVar[str]
    operator_extra_links: tuple[NotebookScheduleLink, ...] = ()

    def methods(self) -> ScheduleMethods | TemplateMethods:
        """Return the hook's methods of this resource."""
        return self.hook.schedules if self.collection == "schedules" else self.hook.templates

    def name_of(self, given: str | Mapping[str, Any]) -> ResourceName:
        """Return the whole name of a resource.

        :param given: the whole name, the bare id, or the output of a task that created it.
        :raises InvalidNotebookJobError: if it is something else, or in another location.
        """
        return resource_name(given, self.collection, self._parent, self.location)

    def read(self, name: ResourceName) -> Any:
        """Get a resource.

        :raises NotFoundError: if it does not exist.
        """
        with explaining_missing():
            return self.methods().get(str(name))

    def found(self, items: Iterable[Schedule | NotebookRuntimeTemplate], limit: int | None) -> list[dict[str, Any]]:
        """Return the items of a list, at most ``limit``, as JSON of the REST API."""
        return [item.to_wire() for item in islice(items, limit)]

    def delete(self, name: ResourceName, *, ignore_if_missing: bool, poll_interval: float) -> str | None:
        """Delete a resource, wait for the operation, and return its name; ``None`` if it did not exist.

        :param poll_interval: seconds between two looks.
        :raises NotFoundError: if it does not exist, unless ``ignore_if_missing``.
        """
        pause = positive_seconds("poll_interval", poll_interval)
        try:
            with explaining_missing():
                operation = self.methods().delete(str(name))
        except NotFoundError as error:
            if not ignore_if_missing:
                raise
            self.log.info("The %s %s does not exist: %s", self.what, name, error)
            return None
        self.wait(operation, name.location, pause, f"delete the {self.what} {name}")
        self.log.info("The %s %s was deleted.", self.what, name)
        return str(name)

    def wait(self, operation: Operation, location: str, poll_interval: float, aim: str) -> Operation:
        """Wait until an operation is done, and return it.

        :param poll_interval: seconds between two looks.
        :param aim: what it does, for the error.
        :raises NbjobsError: if it failed.
        """
        from airflow_nbjobs.api.waiting import wait_for_operation

        done = self.hook.run_flow(location, wait_for_operation(operation, poll_interval), ENDURING)
        if done.error is not None and done.error.code:
            raise NbjobsError(f"Failed to {aim}: {done.error.message}")
        return done

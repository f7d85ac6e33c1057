"""The methods of schedules and of runtime templates over a connection."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Generic, Protocol, TypeVar

from airflow_nbjobs.api import calls
from airflow_nbjobs.api.calls import Resource
from airflow_nbjobs.api.client import Client
from airflow_nbjobs.api.job import Operation
from airflow_nbjobs.api.names import ResourceName
from airflow_nbjobs.api.schedule import Schedule
from airflow_nbjobs.api.template import NotebookRuntimeTemplate

__all__ = ["Connection", "ResourceMethods", "ScheduleMethods", "TemplateMethods"]

M = TypeVar("M", bound=Schedule | NotebookRuntimeTemplate)


class Connection(Protocol):
    """What has clients and a project: a hook."""

    def client(self, location: str) -> Client:
        """Return the client for a location."""

    def parent(self, location: str, project_id: str | None = None) -> str:
        """Return ``projects/p/locations/l``; the project is the connection's unless given."""


class ResourceMethods(Generic[M]):
    """What schedules and runtime templates have in common. Each method raises ``ApiError`` if the service refuses.

    :param hook: the connection.
    :param resource: whose methods these are.
    """

    def __init__(self, hook: Connection, resource: Resource[M]) -> None:
        self._hook = hook
        self._resource = resource

    def get(self, name: str) -> M:
        """Get one.

        :param name: its whole name.
        :raises NotFoundError: if it does not exist.
        """
        return self._hook.client(self._location(name)).send(self._resource.get(name))

    def list(
        self,
        *,
        location: str,
        project_id: str | None = None,
        filter: str | None = None,  # noqa: A002 - the API's own word
        order_by: str | None = None,
        page_size: int | None = None,
    ) -> Iterator[M]:
        """Return those of a location. A page is requested when its first item is needed.

        :param location: such as ``us-central1``.
        :param project_id: default the connection's project.
        :param filter: such as ``display_name="report"``; the reference of the REST method names the fields.
        :param order_by: such as ``create_time desc``.
        :param page_size: items in one request.
        """
        where = self._hook.parent(location, project_id)
        call = self._resource.list(where, filter=filter, order_by=order_by, page_size=page_size)
        yield from self._hook.client(location).pages(call)

    def patch(self, changed: M, fields: Iterable[str]) -> M:
        """Change fields, and return the resource as it is now.

        :param changed: has the name, and the new values.
        :param fields: JSON names of the fields to change, such as ``["cron", "maxRunCount"]``.
        """
        call = self._resource.patch(changed, fields)
        return self._hook.client(self._location(changed.name or "")).send(call)

    def delete(self, name: str) -> Operation:
        """Begin to delete one, and return the operation.

        :param name: its whole name.
        :raises NotFoundError: if it does not exist.
        """
        return self._hook.client(self._location(name)).send(self._resource.delete(name))

    def _location(self, name: str) -> str:
        return ResourceName.parse(name, self._resource.collection).location


class ScheduleMethods(ResourceMethods[Schedule]):
    """The methods of ``projects.locations.schedules``."""

    def __init__(self, hook: Connection) -> None:
        super().__init__(hook, calls.SCHEDULES)

    def create(self, schedule: Schedule, *, location: str, project_id: str | None = None) -> Schedule:
        """Create a schedule. It is sent again only if the service has certainly not created it.

        :param schedule: its job request needs the ``parent`` of the schedule.
        :param location: such as ``us-central1``.
        :param project_id: default the connection's project.
        """
        call = calls.create_schedule(self._hook.parent(location, project_id), schedule)
        return self._hook.client(location).send(call)

    def pause(self, name: str) -> None:
        """Pause a schedule, which must be active. Jobs that exist go on."""
        self._hook.client(self._location(name)).send(calls.pause_schedule(name))

    def resume(self, name: str, *, catch_up: bool = False) -> None:
        """Resume a schedule, which must be paused.

        :param catch_up: create jobs for all missed runs, at once.
        """
        self._hook.client(self._location(name)).send(calls.resume_schedule(name, catch_up=catch_up))


class TemplateMethods(ResourceMethods[NotebookRuntimeTemplate]):
    """The methods of ``projects.locations.notebookRuntimeTemplates``."""

    def __init__(self, hook: Connection) -> None:
        super().__init__(hook, calls.TEMPLATES)

    def create(
        self,
        template: NotebookRuntimeTemplate,
        *,
        location: str,
        project_id: str | None = None,
        template_id: str | None = None,
    ) -> Operation:
        """Begin to create a runtime template, and return the operation.

        It is sent again only if the service has certainly not created it.

        :param template: only its display name is required.
        :param location: such as ``us-central1``.
        :param project_id: default the connection's project.
        :param template_id: by default the service picks one. The id of a deleted template stays taken.
        """
        call = calls.create_template(self._hook.parent(location, project_id), template, template_id)
        return self._hook.client(location).send(call)

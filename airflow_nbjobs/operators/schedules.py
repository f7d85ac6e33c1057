"""Operators of schedules, except those that create one or run its notebook."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any

from airflow_nbjobs.api.names import ResourceName
from airflow_nbjobs.exceptions import FailedPreconditionError, NbjobsError
from airflow_nbjobs.links import NotebookScheduleLink, publish_schedule
from airflow_nbjobs.operators.operator import NotebookJobOperator, entry_point
from airflow_nbjobs.operators.resource import DeleteOperator, ListOperator, ResourceOperator

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

__all__ = [
    "DeleteNotebookScheduleOperator",
    "GetNotebookScheduleOperator",
    "ListNotebookSchedulesOperator",
    "NotebookScheduleOperator",
    "PauseNotebookScheduleOperator",
    "ResumeNotebookScheduleOperator",
]


class NotebookScheduleOperator(ResourceOperator):
    """An operator of one schedule.

    :param schedule: whole name of the schedule, its bare id (then with ``location``), or the output of a task that
        created it (templated).
    """

    template_fields: Sequence[str] = (*NotebookJobOperator.template_fields, "schedule")
    operator_extra_links = (NotebookScheduleLink(),)
    collection = "schedules"

    def __init__(self, *, schedule: str | Mapping[str, Any], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.schedule = schedule
        self.check_name("schedule", schedule)

    def named(self, context: Context) -> ResourceName:
        """Return the name of the schedule, and publish its link."""
        name = self.name_of(self.schedule)
        publish_schedule(context["ti"], str(name), self.project_id or name.project)
        return name


class GetNotebookScheduleOperator(NotebookScheduleOperator):
    """Get a schedule. Returns the resource as JSON of the REST API.

    :raises NotFoundError: if the schedule does not exist.
    :raises ApiError: if the service refuses; with the service's own words.
    """

    @entry_point
    def execute(self, context: Context) -> dict[str, Any]:
        """Get the schedule, and publish its link."""
        return dict(self.read(self.named(context)).to_wire())


class PauseNotebookScheduleOperator(NotebookScheduleOperator):
    """Pause a schedule: it creates no jobs until it is resumed. Jobs that exist go on.

    A schedule that is paused already stays as it is. Returns the schedule as JSON of the REST API.

    :raises NotFoundError: if the schedule does not exist.
    :raises NbjobsError: if the schedule is COMPLETED.
    :raises ApiError: if the service refuses; with the service's own words.
    """

    @entry_point
    def execute(self, context: Context) -> dict[str, Any]:
        """Pause the schedule, unless it is paused."""
        name = self.named(context)
        return _in_state(self, name, "PAUSED", lambda: self.hook.schedules.pause(str(name)))


class ResumeNotebookScheduleOperator(NotebookScheduleOperator):
    """Resume a paused schedule. It runs next at the next time of its cron expression.

    A schedule that is active already stays as it is. Returns the schedule as JSON of the REST API.

    :param catch_up: create jobs for all runs that were missed, at once. Default ``False``.
    :raises NotFoundError: if the schedule does not exist.
    :raises NbjobsError: if the schedule is COMPLETED.
    :raises ApiError: if the service refuses; with the service's own words.
    """

    def __init__(self, *, catch_up: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.catch_up = catch_up
        self.check_arguments(catch_up=catch_up)

    @entry_point
    def execute(self, context: Context) -> dict[str, Any]:
        """Resume the schedule, unless it is active."""
        name = self.named(context)
        resume = self.hook.schedules.resume
        return _in_state(self, name, "ACTIVE", lambda: resume(str(name), catch_up=self.catch_up))


class DeleteNotebookScheduleOperator(DeleteOperator, NotebookScheduleOperator):
    """Delete a schedule and wait until it is gone. Its jobs stay.

    Returns the schedule's name, or ``None`` if the schedule did not exist.

    :raises NotFoundError: if the schedule does not exist, unless ``ignore_if_missing``.
    :raises ApiError: if the service refuses; with the service's own words.
    """

    @entry_point
    def execute(self, context: Context) -> str | None:
        """Delete the schedule, and wait for the operation."""
        name = self.named(context)
        return self.delete("schedule", name, self.hook.schedules.delete)


class ListNotebookSchedulesOperator(ListOperator):
    """List the schedules of a location. Returns a list of resources as JSON of the REST API.

    :param filter: over ``display_name``, ``state`` and times, as the REST reference describes it (templated). Default:
        schedules that run notebooks, since pipelines use the same resource.
    :param order_by: ``create_time``, ``start_time``, ``end_time`` or ``next_run_time``, with or without ``desc``
        (templated). Default ``"create_time desc"``: the newest first.
    :raises InvalidNotebookJobError: if ``limit`` is not a number of schedules.
    :raises ApiError: if the service refuses; with the service's own words.
    """

    operator_extra_links = (NotebookScheduleLink(),)

    def __init__(
        self,
        *,
        filter: str | None = "create_notebook_execution_job_request:*",  # noqa: A002 - the API's own word
        **kwargs: Any,
    ) -> None:
        super().__init__(filter=filter, **kwargs)

    @entry_point
    def execute(self, context: Context) -> list[dict[str, Any]]:
        """List the schedules; a list with one schedule has its link."""
        listed = self.hook.schedules.list(
            location=self.location or "", project_id=self.project_id, filter=self.filter, order_by=self.order_by
        )
        found = [schedule.to_wire() for schedule in islice(listed, self.limit)]
        if len(found) == 1:
            name = found[0]["name"]
            publish_schedule(context["ti"], name, self.project_id or self.hook.project_id)
        return found


def _in_state(operator: NotebookScheduleOperator, name: ResourceName, state: str, move: Any) -> dict[str, Any]:
    """Move a schedule to a state, unless it is in it; return it as it is then.

    :raises NbjobsError: if it cannot go there.
    """
    if operator.read(name).state != state:
        try:
            move()
        except FailedPreconditionError as error:  # somebody else may have moved it meanwhile
            if (schedule := operator.read(name)).state != state:
                what = f"The schedule {schedule.display_name!r} ({name}) is {schedule.state}"
                raise NbjobsError(f"{what}, and cannot become {state}: {error}") from error
    schedule = operator.read(name)
    operator.log.info("The schedule %r is %s.", schedule.display_name, schedule.state)
    return dict(schedule.to_wire())

"""Methods of ``projects.locations.schedules``: the functions below, and those of :data:`SCHEDULES`."""

from __future__ import annotations

from airflow_nbjobs.api.calls.call import Call
from airflow_nbjobs.api.calls.resource import Resource
from airflow_nbjobs.api.schedule import Schedule

__all__ = ["SCHEDULES", "create_schedule", "pause_schedule", "resume_schedule"]

SCHEDULES = Resource("schedules", Schedule)
"""``get``, ``list``, ``patch`` and ``delete``. Jobs outlive their schedule. A patched schedule starts no run that was
due before the patch."""


def create_schedule(parent: str, schedule: Schedule) -> Call[Schedule]:
    """Create a schedule, which is active at once.

    :param parent: ``projects/p/locations/l``.
    """
    path, body = SCHEDULES.collection_path(parent), schedule.to_request()
    return Call("POST", path, SCHEDULES.parse, body=body, may_repeat=False)


def pause_schedule(name: str) -> Call[None]:
    """Pause an active schedule: it creates no jobs until it is resumed. Jobs that exist go on."""
    return Call("POST", f"{SCHEDULES.path(name)}:pause", lambda _: None, body={})


def resume_schedule(name: str, *, catch_up: bool = False) -> Call[None]:
    """Resume a paused schedule.

    :param catch_up: create jobs for all runs that were missed, at once.
    """
    body = {"catchUp": True} if catch_up else {}
    return Call("POST", f"{SCHEDULES.path(name)}:resume", lambda _: None, body=body)

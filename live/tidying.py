"""Delete what an interrupted run left."""

from __future__ import annotations

from typing import Any

from airflow_nbjobs.api import calls
from airflow_nbjobs.api.client import Client
from airflow_nbjobs.api.endpoint import Endpoint
from tests.contract.world import live

__all__ = ["delete_all"]


def delete_all(prefix: str) -> None:
    """Delete all schedules, templates and jobs whose display names begin with a prefix."""
    world = live()
    with Client(Endpoint(world.endpoint, is_trusted=True), world.credentials) as client:
        for resource in (calls.SCHEDULES, calls.TEMPLATES):  # schedules first: they create jobs
            listed: Any = resource.list(world.parent)
            for each in list(client.pages(listed)):
                if (each.display_name or "").startswith(prefix):
                    print(f"deleting {each.name}")
                    client.send(resource.delete(str(each.name)))
        listing = calls.list_jobs(world.parent, filter=f'displayName=~"{prefix}.*"')
        for job in list(client.pages(listing)):
            print(f"deleting {job.name}")
            client.send(calls.delete_job(str(job.name)))

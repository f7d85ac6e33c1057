"""Delete what an interrupted run left."""

from __future__ import annotations

from airflow_nbjobs.api import calls
from airflow_nbjobs.api.client import Client
from airflow_nbjobs.api.endpoint import Endpoint
from tests.contract.world import live

__all__ = ["delete_jobs"]


def delete_jobs(prefix: str) -> None:
    """Delete all jobs whose display names begin with a prefix."""
    world = live()
    with Client(Endpoint(world.endpoint, is_trusted=True), world.credentials) as client:
        listing = calls.list_jobs(world.parent, filter=f'displayName=~"{prefix}.*"')
        for job in list(client.pages(listing)):
            print(f"deleting {job.name}")
            client.send(calls.delete_job(str(job.name)))

"""Addresses in Google's console about jobs. :mod:`airflow_nbjobs.links` says which of them Google documents."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING
from urllib.parse import quote, urlencode

from airflow_nbjobs import settings

if TYPE_CHECKING:
    from airflow_nbjobs.api.job import NotebookExecutionJob

__all__ = ["emulator_url", "executions_url", "logs_url", "object_url", "schedule_url"]

_SCHEDULE = re.compile(r"projects/[^/]+/locations/(?P<location>[a-z0-9-]+)/schedules/(?P<id>[A-Za-z0-9_-]+)")


def emulator_url() -> str | None:
    """Return the address of the emulator's page of jobs; ``None`` without an emulator."""
    address = settings.emulator_address()
    return address if address is None or "://" in address else f"http://{address}"


def executions_url(project: str) -> str:
    """Return the address of a project's list of executions."""
    return _console("/vertex-ai/colab/execution-jobs", project=project)


def schedule_url(job: NotebookExecutionJob, project: str) -> str | None:
    """Return the address of a job's schedule; ``None`` for a job without one."""
    found = _SCHEDULE.fullmatch(job.schedule_resource_name or "")
    if found is None:
        return None
    return _console(f"/vertex-ai/locations/{found['location']}/pipelines/schedules/{found['id']}", project=project)


def logs_url(job: NotebookExecutionJob, project: str) -> str | None:
    """Return the address of the search for a job's logs; ``None`` for a job without a name."""
    if not job.job_id:
        return None
    since = {"cursorTimestamp": job.create_time.isoformat()} if job.create_time else {}
    return _console("/logs/query", query=f'SEARCH("{job.job_id}")', **since, project=project)


def object_url(uri: str, project: str) -> str:
    """Return the address of an object in Cloud Storage, given its ``gs://`` URI."""
    return _console(f"/storage/browser/_details/{quote(uri.removeprefix('gs://'))};tab=live_object", project=project)


def _console(path: str, **query: str) -> str:
    # The Google provider knows the same variable: consoles of other universes.
    domain = os.environ.get("GOOGLE_CLOUD_HIGH_VALUE_COOKIE_DOMAIN") or "google.com"
    return f"https://console.cloud.{domain}{path}?{urlencode(query, quote_via=quote)}"

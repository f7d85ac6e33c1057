"""Links to Google's console, pushed as final addresses right after the job is submitted.

So they work while the task runs, after it, and when it failed. Addresses that Google documents are marked so; the
others are those that its own clients use, since the console documents no page for one execution.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

from airflow.providers.common.compat.sdk import BaseOperatorLink, XCom

if TYPE_CHECKING:
    from collections.abc import Iterable

    from airflow.providers.common.compat.sdk import TaskInstanceKey

    from airflow_nbjobs.api.job import NotebookExecutionJob

__all__ = [
    "LINKS",
    "ExecutedNotebookLink",
    "NotebookExecutionJobListLink",
    "NotebookLogsLink",
    "NotebookScheduleLink",
    "publish",
    "publish_executed",
]


_SCHEDULE = re.compile(r"projects/[^/]+/locations/(?P<location>[a-z0-9-]+)/schedules/(?P<id>[A-Za-z0-9_-]+)")


def _console(path: str, **query: str) -> str:
    # The Google provider knows the same variable: consoles of other universes.
    domain = os.environ.get("GOOGLE_CLOUD_HIGH_VALUE_COOKIE_DOMAIN") or "google.com"
    return f"https://console.cloud.{domain}{path}?{urlencode(query, quote_via=quote)}"


def _object_page(uri: str, project: str) -> str:
    return _console(f"/storage/browser/_details/{quote(uri.removeprefix('gs://'))};tab=live_object", project=project)


class _PublishedLink(BaseOperatorLink):
    """A link whose address was pushed by the task."""

    def get_link(self, operator: Any, *, ti_key: TaskInstanceKey) -> str:  # noqa: ARG002 - Airflow's interface
        """Return the address that the task pushed, or nothing."""
        address = XCom.get_value(key=self.xcom_key, ti_key=ti_key)
        return address if isinstance(address, str) else ""

    def address(self, job: NotebookExecutionJob, project: str) -> str | None:
        """Return the address for a job, or ``None`` when there is nothing to link to."""
        raise NotImplementedError


class NotebookExecutionJobListLink(_PublishedLink):
    """The project's notebook executions. Documented by Google; the region is chosen on the page."""

    name = "Notebook executions"
    xcom_key = "_link_NotebookExecutionJobListLink"

    def address(self, job: NotebookExecutionJob, project: str) -> str:  # noqa: ARG002 - one page for all jobs
        """Return the address of the list."""
        return _console("/vertex-ai/colab/execution-jobs", project=project)


class NotebookScheduleLink(_PublishedLink):
    """The schedule that the job belongs to: the page that Google's own SDK gives for a schedule of Vertex AI."""

    name = "Notebook schedule"
    xcom_key = "_link_NotebookScheduleLink"

    def address(self, job: NotebookExecutionJob, project: str) -> str | None:
        """Return the address of the schedule; ``None`` for a job without one."""
        found = _SCHEDULE.fullmatch(job.schedule_resource_name or "")
        if found is None:
            return None
        return _console(f"/vertex-ai/locations/{found['location']}/pipelines/schedules/{found['id']}", project=project)


class ExecutedNotebookLink(_PublishedLink):
    """The executed notebook in Cloud Storage, under the name that the service is seen to give it."""

    name = "Executed notebook"
    xcom_key = "_link_ExecutedNotebookLink"

    def address(self, job: NotebookExecutionJob, project: str) -> str | None:
        """Return the address of the object's page."""
        uri = job.executed_notebook_uri
        return None if uri is None else _object_page(uri, project)


class NotebookLogsLink(_PublishedLink):
    """What Cloud Logging has on the job: the search that Google's own Jupyter scheduler links to."""

    name = "Notebook logs"
    xcom_key = "_link_NotebookLogsLink"

    def address(self, job: NotebookExecutionJob, project: str) -> str | None:
        """Return the address of the search."""
        if not job.job_id:
            return None
        since = {"cursorTimestamp": job.create_time.isoformat()} if job.create_time else {}
        return _console("/logs/query", query=f'SEARCH("{job.job_id}")', **since, project=project)


LINKS: tuple[_PublishedLink, ...] = (
    NotebookExecutionJobListLink(),
    ExecutedNotebookLink(),
    NotebookLogsLink(),
    NotebookScheduleLink(),
)


def publish(ti: Any, job: NotebookExecutionJob, project: str, links: Iterable[_PublishedLink] = LINKS) -> None:
    """Push each link to its XCom, as the final address; one that leads nowhere as an empty text.

    Airflow asks for each of them when the task is over, and logs an error for an XCom that is not there.
    """
    for link in links:
        ti.xcom_push(key=link.xcom_key, value=link.address(job, project) or "")


def publish_executed(ti: Any, job: NotebookExecutionJob, project: str, uri: str) -> None:
    """Push the link to the executed notebook once more, where it was found under another name than was expected."""
    if uri != job.executed_notebook_uri:
        ti.xcom_push(key=ExecutedNotebookLink.xcom_key, value=_object_page(uri, project))

"""Links to Google's console, pushed as final addresses right after the job is submitted.

They work while the task runs, after it, and after a failure. The docstrings say which addresses Google documents; the
others are those that its own clients use, since the console documents no page for one execution.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any

import airflow_nbjobs.floors  # noqa: F401 - refuses versions that are too old

from airflow.providers.common.compat.sdk import BaseOperatorLink, XCom

from airflow_nbjobs import settings
from airflow_nbjobs.console_urls import emulator_url, executions_url, logs_url, object_url, schedule_url

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
    "addresses",
    "publish",
    "publish_executed",
    "publish_schedule",
    "published",
]


class _PublishedLink(BaseOperatorLink):
    """A link whose address was pushed by the task."""

    def get_link(self, operator: Any, *, ti_key: TaskInstanceKey) -> str:
        """Return the address that the task pushed, or an empty text.

        Airflow asks in the task's own process at its end, and logs an error for each XCom that does not exist. For this
        reason the links are remembered. Only a resumed task that has not read its job asks for the XComs of its
        deferral.
        """
        if (known := _known.get(_task_of(ti_key))) is not None or not getattr(operator, "is_resumed", False):
            return (known or {}).get(self.xcom_key, "")
        address = XCom.get_value(key=self.xcom_key, ti_key=ti_key)
        return address if isinstance(address, str) else ""

    @abstractmethod
    def address(self, job: NotebookExecutionJob, project: str) -> str | None:
        """Return the address for a job, or ``None`` if there is nothing to link to."""


class NotebookExecutionJobListLink(_PublishedLink):
    """The project's notebook executions. Documented by Google; the region is chosen on the page."""

    name = "Notebook executions"
    xcom_key = "_link_NotebookExecutionJobListLink"

    def address(self, job: NotebookExecutionJob, project: str) -> str:  # noqa: ARG002 - one page for all jobs
        """Return the address of the list."""
        return executions_url(project)


class NotebookScheduleLink(_PublishedLink):
    """The schedule that the job belongs to: the page that Google's own SDK gives for a schedule of Vertex AI."""

    name = "Notebook schedule"
    xcom_key = "_link_NotebookScheduleLink"

    def address(self, job: NotebookExecutionJob, project: str) -> str | None:
        """Return the address of the schedule; ``None`` for a job without one."""
        return schedule_url(job, project)


class ExecutedNotebookLink(_PublishedLink):
    """The executed notebook in Cloud Storage, under the name that the service is seen to give it."""

    name = "Executed notebook"
    xcom_key = "_link_ExecutedNotebookLink"

    def address(self, job: NotebookExecutionJob, project: str) -> str | None:
        """Return the address of the object's page."""
        uri = job.executed_notebook_uri
        return None if uri is None else object_url(uri, project)


class NotebookLogsLink(_PublishedLink):
    """What Cloud Logging has on the job: the search that Google's own Jupyter scheduler links to."""

    name = "Notebook logs"
    xcom_key = "_link_NotebookLogsLink"

    def address(self, job: NotebookExecutionJob, project: str) -> str | None:
        """Return the address of the search."""
        return logs_url(job, project)


LINKS: tuple[_PublishedLink, ...] = (
    NotebookExecutionJobListLink(),
    ExecutedNotebookLink(),
    NotebookLogsLink(),
    NotebookScheduleLink(),
)


_known: dict[tuple[Any, ...], dict[str, str]] = {}
"""The addresses that this process knows, by task instance and link."""


def publish(
    ti: Any, job: NotebookExecutionJob, project: str, links: Iterable[_PublishedLink] = LINKS, *, push: bool = True
) -> None:
    """Push each link that leads somewhere to its XCom, as the final address.

    :param ti: the running task instance.
    :param project: project whose console is linked to.
    :param push: whether the XComs are written now. Airflow itself writes what it is told at the task's end.
    """
    known = _known[_task_of(ti)] = addresses(job, project, links)
    for key, address in known.items() if push else ():
        ti.xcom_push(key=key, value=address)


def addresses(job: NotebookExecutionJob, project: str, links: Iterable[_PublishedLink] = LINKS) -> dict[str, str]:
    """Return the addresses of the links that lead somewhere, by their XCom keys.

    On an emulator the list leads to its page of jobs, and the notebook to its page of the executed notebook; the other
    links are left out.

    :param project: project whose console is linked to.
    """
    found = {link.xcom_key: link.address(job, project) for link in links}
    if page := emulator_url():
        executed = f"{page}/_emulator/jobs/{job.job_id}/notebook" if job.executed_notebook_uri else None
        local = {NotebookExecutionJobListLink.xcom_key: page, ExecutedNotebookLink.xcom_key: executed}
        found = {key: local.get(key) for key in found}
    return {key: address for key, address in found.items() if address}


def published(ti: Any) -> dict[str, str]:
    """Return the addresses that this process has published for a task instance, by their XCom keys."""
    return _known.get(_task_of(ti), {}) if ti is not None else {}


def publish_executed(ti: Any, job: NotebookExecutionJob, project: str, uri: str) -> None:
    """Push the link to the executed notebook again if it was found under another name than expected."""
    if uri != job.executed_notebook_uri and not settings.emulator_address():
        address = _known.setdefault(_task_of(ti), {})[ExecutedNotebookLink.xcom_key] = object_url(uri, project)
        ti.xcom_push(key=ExecutedNotebookLink.xcom_key, value=address)


def publish_schedule(ti: Any, name: str, project: str) -> None:
    """Push the link to a schedule. An emulator has no page for it.

    :param ti: the running task instance.
    :param name: whole name of the schedule.
    :param project: project whose console is linked to.
    """
    from airflow_nbjobs.api.job import NotebookExecutionJob

    publish(ti, NotebookExecutionJob(schedule_resource_name=name), project, (NotebookScheduleLink(),))


def _task_of(ti: Any) -> tuple[Any, ...]:
    region = getattr(ti, "region_id", None), getattr(ti, "region_index", None)  # of Airflow 3.4: iterations of a loop
    return ti.dag_id, ti.run_id, ti.task_id, ti.map_index, *region

"""The operator that lists jobs."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any

from airflow_nbjobs.api.names import JobName
from airflow_nbjobs.links import NotebookExecutionJobListLink, publish
from airflow_nbjobs.operators.operator import entry_point
from airflow_nbjobs.operators.resource import ListOperator

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

__all__ = ["ListNotebookExecutionJobsOperator"]


class ListNotebookExecutionJobsOperator(ListOperator):
    """List the notebook execution jobs of a location.

    Returns a list of dicts with the keys of the create operator's result, except ``results``, and ``display_name``,
    ``create_time`` and ``update_time`` (ISO 8601, or ``None``).

    :param filter: over ``notebookExecutionJob`` (the id), ``displayName`` and ``schedule``, with ``=``, ``!=`` and
        ``=~``, such as ``displayName=~"report-.*"``; the service cannot filter by labels or states (templated).
    :raises InvalidNotebookJobError: if ``limit`` is not a number of jobs.
    :raises ApiError: if the service refuses; with the service's own words.
    """

    operator_extra_links = (NotebookExecutionJobListLink(),)

    @entry_point
    def execute(self, context: Context) -> list[dict[str, Any]]:
        """List the jobs, and publish the link to their page."""
        from airflow_nbjobs.api.calls import PAGE_LIMIT
        from airflow_nbjobs.api.job import NotebookExecutionJob
        from airflow_nbjobs.run.summary import result

        where = self._parent()
        jobs = self.hook.list_jobs(
            location=self.location or "",
            project_id=self.project_id,
            filter=self.filter,
            order_by=self.order_by,
            page_size=min(self.limit or PAGE_LIMIT, PAGE_LIMIT),
        )
        project = JobName.parse(f"{where}/notebookExecutionJobs/0").project
        publish(context["ti"], NotebookExecutionJob(), project, self.operator_extra_links)
        return [
            {
                **result(job),
                "display_name": job.display_name,
                "create_time": job.create_time.isoformat() if job.create_time else None,
                "update_time": job.update_time.isoformat() if job.update_time else None,
            }
            for job in islice(jobs, self.limit)
        ]

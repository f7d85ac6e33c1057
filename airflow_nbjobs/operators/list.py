"""The operator that lists jobs."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any

from airflow_nbjobs.api.names import JobName
from airflow_nbjobs.links import NotebookExecutionJobListLink, publish
from airflow_nbjobs.operators.operator import NotebookJobOperator, entry_point

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

__all__ = ["ListNotebookExecutionJobsOperator"]


class ListNotebookExecutionJobsOperator(NotebookJobOperator):
    """List the notebook execution jobs of a location.

    Returns a list of dicts with the keys of the create operator's result, except ``results``, and ``display_name``,
    ``create_time`` and ``update_time`` (ISO 8601, or ``None``).

    :param filter: over ``notebookExecutionJob`` (the id), ``displayName`` and ``schedule``, with ``=``, ``!=`` and
        ``=~``, such as ``displayName=~"report-.*"``; the service cannot filter by labels or states (templated).
    :param order_by: ``display_name``, ``create_time`` or ``update_time``, with or without ``desc``. Default
        ``"create_time desc"``: the newest first (templated).
    :param limit: the largest number of jobs. Default 100, since they all go into one XCom; ``None`` for all.
    :raises InvalidNotebookJobError: if ``limit`` is not a number of jobs.
    :raises ApiError: if the service refuses; with the service's own words.
    """

    template_fields: Sequence[str] = (*NotebookJobOperator.template_fields, "filter", "order_by")
    text_fields = (*NotebookJobOperator.text_fields, "filter", "order_by")
    operator_extra_links = (NotebookExecutionJobListLink(),)
    needs_location = True

    def __init__(
        self,
        *,
        filter: str | None = None,  # noqa: A002 - the API's own word
        order_by: str | None = "create_time desc",
        limit: int | None = 100,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.filter = filter
        self.order_by = order_by
        self.limit = limit
        self.check_arguments(filter=filter, order_by=order_by, limit=limit)

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

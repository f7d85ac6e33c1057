"""The operator that reads one job."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow_nbjobs.api.names import JobName, job_name
from airflow_nbjobs.links import publish
from airflow_nbjobs.operators.operator import NotebookJobOperator, entry_point, explaining_missing

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

__all__ = ["GetNotebookExecutionJobOperator"]


class GetNotebookExecutionJobOperator(NotebookJobOperator):
    """Get a notebook execution job.

    Returns the resource as JSON of the REST API, without direct notebook content.

    :param job_name: whole name of the job, its bare id (then with ``location``), or the output of a create task
        (templated).
    :raises NotFoundError: if the job does not exist.
    :raises ApiError: if the service refuses; with the service's own words.
    """

    template_fields: Sequence[str] = (*NotebookJobOperator.template_fields, "job_name")

    def __init__(self, *, job_name: str | Mapping[str, Any], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.job_name = job_name
        self.check_name("job_name", job_name)

    @entry_point
    def execute(self, context: Context) -> dict[str, Any]:
        """Get the job, and publish its links."""
        with explaining_missing():
            job = self.hook.get_job(job_name(self.job_name, self._parent))
        publish(context["ti"], job, self.project_id or JobName.parse(job.name).project)
        return {key: value for key, value in job.to_wire().items() if key != "directNotebookSource"}

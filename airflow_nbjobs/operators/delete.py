"""The operator that deletes a job."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow_nbjobs.api.names import JobName, job_name
from airflow_nbjobs.operators.operator import NotebookJobOperator, entry_point
from airflow_nbjobs.operators.resource import DeleteOperator

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

__all__ = ["DeleteNotebookExecutionJobOperator"]


class DeleteNotebookExecutionJobOperator(DeleteOperator):
    """Delete a notebook execution job and wait until it is gone; a running one ends with it.

    The executed notebook in Cloud Storage stays. Returns the job's name, or ``None`` if the job did not exist.

    :param job_name: whole name of the job, its bare id (then with ``location``), or the output of a create task
        (templated).
    :raises NotFoundError: if the job does not exist, unless ``ignore_if_missing``.
    :raises ApiError: if the service refuses; with the service's own words.
    """

    template_fields: Sequence[str] = (*NotebookJobOperator.template_fields, "job_name")
    operator_extra_links = ()

    def __init__(self, *, job_name: str | Mapping[str, Any], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.job_name = job_name
        self.check_name("job_name", job_name)

    @entry_point
    def execute(self, context: Context) -> str | None:  # noqa: ARG002 - Airflow's interface
        """Delete the job, and wait for the operation."""
        name = JobName.parse(job_name(self.job_name, self._parent))
        return self.delete("notebook job", name, self.hook.delete_job)

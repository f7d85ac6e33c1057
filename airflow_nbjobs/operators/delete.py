"""The operator that deletes a job."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow_nbjobs.api.names import JobName, job_name
from airflow_nbjobs.api.pacing import ENDURING, positive_seconds
from airflow_nbjobs.exceptions import NbjobsError, NotFoundError
from airflow_nbjobs.operators.operator import NotebookJobOperator, entry_point, explaining_missing

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

__all__ = ["DeleteNotebookExecutionJobOperator"]


class DeleteNotebookExecutionJobOperator(NotebookJobOperator):
    """Delete a notebook execution job and wait until it is gone; a running one ends with it.

    The executed notebook in Cloud Storage stays. Returns the job's name, or ``None`` if the job did not exist.

    :param job_name: whole name of the job, its bare id (then with ``location``), or the output of a create task
        (templated).
    :param ignore_if_missing: succeed if the job does not exist. Default ``False``.
    :param poll_interval: seconds between two looks at the delete operation. Default 5.
    :raises NotFoundError: if the job does not exist, unless ``ignore_if_missing``.
    :raises ApiError: if the service refuses; with the service's own words.
    """

    template_fields: Sequence[str] = (*NotebookJobOperator.template_fields, "job_name")
    operator_extra_links = ()

    def __init__(
        self,
        *,
        job_name: str | Mapping[str, Any],
        ignore_if_missing: bool = False,
        poll_interval: float = 5,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.job_name = job_name
        self.ignore_if_missing = ignore_if_missing
        self.poll_interval = poll_interval
        self.check_arguments(ignore_if_missing=ignore_if_missing, poll_interval=poll_interval)
        self.check_name("job_name", job_name)

    @entry_point
    def execute(self, context: Context) -> str | None:  # noqa: ARG002 - Airflow's interface
        """Delete the job, and wait for the operation."""
        from airflow_nbjobs.api.waiting import wait_for_operation

        pause = positive_seconds("poll_interval", self.poll_interval)
        name = job_name(self.job_name, self._parent)
        try:
            with explaining_missing():
                operation = self.hook.delete_job(name)
        except NotFoundError as error:
            if not self.ignore_if_missing:
                raise
            self.log.info("The job %s does not exist: %s", name, error)
            return None
        deleted = self.hook.run_flow(JobName.parse(name).location, wait_for_operation(operation, pause), ENDURING)
        if deleted.error is not None and deleted.error.code:
            raise NbjobsError(f"Failed to delete the notebook job {name}: {deleted.error.message}")
        self.log.info("The notebook job %s was deleted.", name)
        return name

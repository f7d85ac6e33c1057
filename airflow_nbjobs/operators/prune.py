"""The operator that deletes the records of old jobs."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow_nbjobs import settings
from airflow_nbjobs.exceptions import InvalidNotebookJobError
from airflow_nbjobs.operators.operator import NotebookJobOperator, entry_point
from airflow_nbjobs.run.argument_rules import seconds_of

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

__all__ = ["PruneNotebookExecutionJobsOperator"]


class PruneNotebookExecutionJobsOperator(NotebookJobOperator):
    """Delete the records of notebook execution jobs that this Airflow created and that have ended.

    Only jobs with this deployment's label are deleted (``[nbjobs] deployment``, or ``[api] base_url``), and the staged
    copies of their notebooks. Executed notebooks in Cloud Storage stay. Returns a dict: ``count``, and ``names`` of the
    first 100. A failed deletion does not stop the others; the task fails at the end.

    :param older_than: a timedelta, or seconds, since the job's last update (templated).
    :param include_active: delete active jobs too, which ends them. Default ``False``.
    :param dry_run: delete nothing, and log what would be deleted. Default ``False``.
    :raises InvalidNotebookJobError: if the deployment's name may be shared with other Airflows, as a localhost is, or
        ``older_than`` is not a duration.
    :raises ApiError: if the service refuses; with the service's own words.
    """

    template_fields: Sequence[str] = (*NotebookJobOperator.template_fields, "older_than")
    operator_extra_links = ()
    needs_location = True

    def __init__(
        self,
        *,
        older_than: timedelta | float,
        include_active: bool = False,
        dry_run: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.older_than = older_than
        self.include_active = include_active
        self.is_dry_run = dry_run
        self.check_arguments(older_than=older_than, include_active=include_active, dry_run=dry_run)

    @entry_point
    def execute(self, context: Context) -> dict[str, Any]:  # noqa: ARG002 - Airflow's interface
        """List the jobs of the location, and delete those that match."""
        from airflow_nbjobs.pruning import Pruning, ago, prune
        from airflow_nbjobs.run.identity import deployment_label

        deployment = settings.deployment()
        if not settings.is_deployment_certain():
            raise InvalidNotebookJobError(
                f"This Airflow's name {deployment!r} may be shared with other Airflows: set [nbjobs] deployment to its "
                "own name."
            )
        pruning = Pruning(
            deployment_label=deployment_label(deployment),
            before=ago(seconds_of("older_than", self.older_than)),
            include_active=self.include_active,
            dry_run=self.is_dry_run,
        )
        names = list(prune(self.hook, self.location or "", self.project_id, pruning, self.log))
        return {"count": len(names), "names": names[:100]}

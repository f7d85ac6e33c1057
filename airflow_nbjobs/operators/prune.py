"""The operator that deletes the records of old jobs."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow_nbjobs.operators.operator import NotebookJobOperator, closing_hook

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

__all__ = ["PruneNotebookExecutionJobsOperator"]


class PruneNotebookExecutionJobsOperator(NotebookJobOperator):
    """Delete the records of notebook execution jobs that this Airflow made and that are over for a while.

    Only jobs with this deployment's label are looked at (``[nbjobs] deployment``, else ``[api] base_url``). Executed
    notebooks in Cloud Storage stay; copies of notebooks that were staged for the jobs go with them. Returns a dict:
    ``count``, and ``names`` of the first 100. A job that cannot be deleted keeps no other one from it, and fails the
    task in the end.

    :param older_than: a timedelta, or seconds; how long ago the job was last updated at least.
    :param include_active: delete jobs that are not over too, which ends them. Default ``False``.
    :param dry_run: delete nothing, and log what would be. Default ``False``.
    :raises InvalidNotebookJobError: when the deployment has no name of its own: a localhost is anybody's;
        or when ``older_than`` is no time.
    :raises ApiError: when the service refuses; with the service's own words.
    """

    template_fields: Sequence[str] = (*NotebookJobOperator.template_fields, "older_than")
    operator_extra_links = ()

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

    @closing_hook
    def execute(self, context: Context) -> dict[str, Any]:  # noqa: ARG002 - Airflow's interface
        """List the location's jobs, and delete those that are covered."""
        from airflow_nbjobs import settings
        from airflow_nbjobs.exceptions import InvalidNotebookJobError
        from airflow_nbjobs.pruning import Pruning, ago, prune
        from airflow_nbjobs.submission import deployment_label

        deployment = settings.deployment()
        if not settings.is_deployment_certain():
            raise InvalidNotebookJobError(
                f"This Airflow has no name of its own, but {deployment!r}: set [nbjobs] deployment to one."
            )
        pruning = Pruning(
            deployment_label=deployment_label(deployment),
            before=ago(self._age()),
            include_active=self.include_active,
            dry_run=self.is_dry_run,
        )
        told = {"tell": self.log.info, "warn": self.log.warning}
        names = list(prune(self.hook, self.location or "", self.project_id, pruning, **told))
        return {"count": len(names), "names": names[:100]}

    def _age(self) -> float:
        """Return ``older_than`` in seconds.

        :raises InvalidNotebookJobError: when it is no time.
        """
        from airflow_nbjobs.api.pacing import positive_seconds
        from airflow_nbjobs.exceptions import InvalidNotebookJobError

        age = self.older_than
        if isinstance(age, bool):  # a number to Python
            raise InvalidNotebookJobError(f"older_than={age!r} is not a time: give seconds, more than 0.")
        return positive_seconds("older_than", age.total_seconds() if isinstance(age, timedelta) else age)

"""The rendered arguments of one run as one frozen value, and the checks that need nothing else."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import timedelta
from typing import Any

from airflow_nbjobs.api.pacing import positive_seconds
from airflow_nbjobs.exceptions import InvalidNotebookJobError
from airflow_nbjobs.run.cancel import check_kill_policy
from airflow_nbjobs.run.capacity import Attempts
from airflow_nbjobs.run.sources import Notebook

__all__ = ["RunArguments", "check_reading"]


@dataclass(frozen=True, kw_only=True)
class RunArguments:
    """What a run is asked to do. Each field is the argument of ``CreateNotebookExecutionJobOperator`` of that name.

    An operator makes it after its templates are rendered, the command line from its options.

    :ivar parameters: a mapping, or a function that returns one when the notebook is submitted (``@task.notebook``).
    :ivar execution_timeout: Airflow's own bound of the task.
    :ivar do_xcom_push: whether the results of the notebook are read.
    """

    location: str | None = None
    project_id: str | None = None
    notebook: Notebook | None = None
    parameters: Mapping[str, Any] | Callable[[], Mapping[str, Any] | None] | None = None
    unknown_parameters: str = "warn"
    gcs_output_uri: str | None = None
    runtime_template: str | None = None
    fallback_runtime_templates: Sequence[str] = ()
    capacity_retries: int | None = None
    custom_environment_spec: Mapping[str, Any] | None = None
    service_account: str | None = None
    execution_user: str | None = None
    display_name: str | None = None
    labels: Mapping[str, str] | None = None
    sanitize_labels: bool = False
    kernel_name: str | None = None
    workbench_runtime: Mapping[str, Any] | None = None
    kms_key_name: str | None = None
    schedule_resource_name: str | None = None
    job_timeout: float | timedelta | None = None
    job_body: Mapping[str, Any] | None = None
    job_id: str | None = None
    deterministic_job_id: bool = False
    wait_for_completion: bool = True
    deferrable: bool = False
    poll_interval: float = 30
    retry_on_notebook_error: bool = True
    kill: str = "cancel"
    log_output: str = "errors"
    unusable_results: str = "fail"
    execution_timeout: timedelta | None = None
    do_xcom_push: bool = True

    @classmethod
    def names(cls) -> list[str]:
        """Return the names of the fields."""
        return [field.name for field in fields(cls)]

    @property
    def attempts(self) -> Attempts:
        """How often a try may submit the notebook if there is no machine, and with which templates."""
        fallbacks, retries = self.fallback_runtime_templates, self.capacity_retries
        return Attempts(
            templates=(self.runtime_template, *fallbacks), retries=len(fallbacks) if retries is None else retries
        )

    def check(self) -> None:
        """Check the arguments that are otherwise used only after the job was submitted.

        :raises InvalidNotebookJobError: names the argument, its value and the remedy.
        """
        check_reading(self.log_output, self.unusable_results)
        _check_choice("unknown_parameters", self.unknown_parameters, "fail", "warn")
        check_kill_policy(self.kill)
        positive_seconds("poll_interval", self.poll_interval)
        self._check_attempts()
        if self.job_id and self.deterministic_job_id:
            raise InvalidNotebookJobError(
                f"job_id={self.job_id!r} and deterministic_job_id=True are two ids: give one of them."
            )

    def _check_attempts(self) -> None:
        retries, fallbacks = self.capacity_retries, self.fallback_runtime_templates
        if retries is not None and (not isinstance(retries, int) or retries < 0):
            raise InvalidNotebookJobError(
                f"capacity_retries={retries!r} is not a number of retries: give 0 or more, or None for one a fallback."
            )
        given = f"fallback_runtime_templates={fallbacks!r}"
        if isinstance(fallbacks, str) or not isinstance(fallbacks, Sequence):
            raise InvalidNotebookJobError(f"{given} is not a list: give a list of runtime templates.")
        if fallbacks and not self.runtime_template:
            raise InvalidNotebookJobError(f"{given} needs runtime_template: give the first template there.")
        if self.job_id and self.attempts.allows(1):
            raise InvalidNotebookJobError(
                f"job_id={self.job_id!r} is one id, but capacity_retries or fallback_runtime_templates may need "
                "several jobs: use deterministic_job_id=True instead of job_id, or set capacity_retries=0."
            )


def check_reading(log_output: object, unusable_results: object) -> None:
    """Check the arguments that say how an executed notebook is read.

    :raises InvalidNotebookJobError: names the argument, its value and the allowed values.
    """
    _check_choice("log_output", log_output, "errors", "all", "none")
    _check_choice("unusable_results", unusable_results, "fail", "omit")


def _check_choice(argument: str, value: object, *allowed: str) -> None:
    if value not in allowed:
        raise InvalidNotebookJobError(f"{argument}={value!r} is not allowed: use {' or '.join(map(repr, allowed))}.")

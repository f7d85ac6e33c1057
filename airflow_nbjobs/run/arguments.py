"""The rendered arguments of one run as one frozen value, and the checks that need nothing else."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import timedelta
from pathlib import Path
from typing import Any

from airflow_nbjobs.exceptions import InvalidNotebookJobError
from airflow_nbjobs.run.argument_rules import RULES, check_values
from airflow_nbjobs.run.capacity import Attempts
from airflow_nbjobs.run.sources import Notebook

__all__ = ["RunArguments", "check_known", "is_template"]

_EXCLUSIVE = (
    ("service_account", "execution_user"),
    ("runtime_template", "custom_environment_spec"),
    ("job_id", "deterministic_job_id"),
)


@dataclass(frozen=True, kw_only=True)
class RunArguments:
    """What a run is asked to do. Each field is the argument of ``CreateNotebookExecutionJobOperator`` of that name.

    An operator makes it after its templates are rendered, the command line from its options.

    :ivar parameters: a mapping, or a function that returns one when the notebook is submitted (``@task.notebook``).
    :ivar html: whether the executed notebook is written as HTML too; a path is a local file for it.
    :ivar execution_timeout: Airflow's own bound of the task.
    :ivar do_xcom_push: whether the results of the notebook are read.
    """

    location: str | None = None
    project_id: str | None = None
    notebook: Notebook | None = None
    parameters: Mapping[str, Any] | Callable[[], Mapping[str, Any] | None] | None = None
    unknown_parameters: str = "fail"
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
    cost_labels: bool = False
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
    html: bool | Path = False
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
        checked = RULES.keys() - {"parameters"} - ({"html"} if isinstance(self.html, Path) else set())
        check_values({name: getattr(self, name) for name in self.names() if name in checked})
        self.check_attempts()
        _check_exclusive(vars(self), "job_id", "deterministic_job_id")

    def check_attempts(self) -> None:
        """Check the arguments about further submissions in one try.

        :raises InvalidNotebookJobError: names the argument, its value and the remedy.
        """
        given = f"fallback_runtime_templates={self.fallback_runtime_templates!r}"
        if self.fallback_runtime_templates and not self.runtime_template:
            raise InvalidNotebookJobError(f"{given} needs runtime_template: give the first template there.")
        if self.job_id and self.attempts.allows(1):
            raise InvalidNotebookJobError(
                f"job_id={self.job_id!r} is one id, but capacity_retries or fallback_runtime_templates may need "
                "several jobs: use deterministic_job_id=True instead of job_id, or set capacity_retries=0."
            )


def check_known(known: Mapping[str, Any]) -> None:
    """Check the arguments that are known when a DAG is parsed.

    :param known: fields of :class:`RunArguments` whose values will not change.
    :raises InvalidNotebookJobError: names the argument, its value and the remedy.
    """
    check_values(known)
    if known.get("html") and not known.get("wait_for_completion", True):
        raise InvalidNotebookJobError(
            "html=True needs wait_for_completion=True: otherwise the task succeeds before its notebook runs."
        )
    for one, other in _EXCLUSIVE:
        _check_exclusive(known, one, other)


def _check_exclusive(given: Mapping[str, Any], one: str, other: str) -> None:
    if given.get(one) and given.get(other):
        raise InvalidNotebookJobError(f"{one}={given[one]!r} and {other}={given[other]!r}: give one of them.")


def is_template(value: object) -> bool:
    """Return whether the value is known only in a run: it contains a template, or stands for an XCom."""
    if isinstance(value, str):
        return "{{" in value or "{%" in value or "{#" in value
    if isinstance(value, Mapping):
        return any(map(is_template, value.values()))
    if isinstance(value, list | tuple):
        return any(map(is_template, value))
    return not (value is None or isinstance(value, int | float | bool | timedelta))

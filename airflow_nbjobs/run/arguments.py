"""The rendered arguments of one run as one frozen value, and the checks that need nothing else."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal

from airflow_nbjobs.api.pacing import positive_seconds
from airflow_nbjobs.exceptions import InvalidNotebookJobError
from airflow_nbjobs.run.capacity import Attempts
from airflow_nbjobs.run.sources import Notebook

__all__ = ["KillPolicy", "RunArguments", "as_text", "check_early", "check_kill_policy", "check_reading", "is_template"]

KillPolicy = Literal["cancel", "delete", "leave"]
"""
What happens to the job when its task is killed.

``cancel`` cancels its create operation, and deletes the job if it stays active. ``delete`` deletes the job and its
record. ``leave`` lets it run. A job that has ended is kept in any case: a retry may need its result.
"""

_CHOICES = {
    "log_output": ("errors", "all", "none"),
    "unusable_results": ("fail", "omit"),
    "unknown_parameters": ("fail", "warn"),
}
_EXCLUSIVE = (
    ("service_account", "execution_user"),
    ("runtime_template", "custom_environment_spec"),
    ("job_id", "deterministic_job_id"),
)

_POLICIES: dict[str, KillPolicy] = {"cancel": "cancel", "delete": "delete", "leave": "leave"}


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
        check_reading(self.log_output, self.unusable_results)
        _check_choice("unknown_parameters", self.unknown_parameters, *_CHOICES["unknown_parameters"])
        check_kill_policy(self.kill)
        positive_seconds("poll_interval", self.poll_interval)
        self.check_attempts()
        if self.job_id and self.deterministic_job_id:
            raise InvalidNotebookJobError(
                f"job_id={self.job_id!r} and deterministic_job_id=True are two ids: give one of them."
            )

    def check_attempts(self) -> None:
        """Check the arguments about further submissions in one try.

        :raises InvalidNotebookJobError: names the argument, its value and the remedy.
        """
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


def check_kill_policy(kill: object) -> KillPolicy:
    """Return ``kill`` if it is a policy.

    :raises InvalidNotebookJobError: otherwise.
    """
    if isinstance(kill, str) and (policy := _POLICIES.get(kill)):
        return policy
    raise InvalidNotebookJobError(f"kill={kill!r} is not a kill policy: use 'cancel', 'delete' or 'leave'.")


def check_early(arguments: Mapping[str, Any]) -> None:
    """Check what can be known when a DAG is parsed: arguments whose values contain no template.

    :param arguments: fields of :class:`RunArguments`, before templates are rendered.
    :raises InvalidNotebookJobError: names the argument, its value and the remedy.
    """
    known = {name: value for name, value in arguments.items() if value is not None and not is_template(value)}
    for argument, allowed in _CHOICES.items():
        if argument in known:
            _check_choice(argument, known[argument], *allowed)
    if "kill" in known:
        check_kill_policy(known["kill"])
    if "poll_interval" in known:
        positive_seconds("poll_interval", known["poll_interval"])
    if arguments.get("location") is None:
        raise InvalidNotebookJobError("location is missing: give the region of the job, as in location='us-central1'.")
    if known.get("html") and known.get("wait_for_completion") is False:
        raise InvalidNotebookJobError(
            "html=True needs wait_for_completion=True: otherwise the task succeeds before its notebook runs."
        )
    for one, other in _EXCLUSIVE:
        if known.get(one) and known.get(other):
            raise InvalidNotebookJobError(f"{one}={known[one]!r} and {other}={known[other]!r}: give one of them.")


def is_template(value: object) -> bool:
    """Return whether the value is known only in a run: it contains a template, or stands for an XCom."""
    if isinstance(value, str):
        return "{{" in value or "{%" in value or "{#" in value
    if isinstance(value, Mapping):
        return any(map(is_template, value.values()))
    if isinstance(value, list | tuple):
        return any(map(is_template, value))
    return not (value is None or isinstance(value, int | float | bool | timedelta))


def as_text(argument: str, value: Any) -> Any:
    """Return an argument that is text, or a list or dict of texts, as text.

    A template stays text (:mod:`airflow_nbjobs.operators.text_templates`), but a user may give a number, or an XCom or
    a parameter of the DAG that is one. An int is turned into text. A float may have been written in several ways
    ("1.10") that people use, and is refused.

    :raises InvalidNotebookJobError: names the argument, its value and the remedy.
    """
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        raise InvalidNotebookJobError(
            f"{argument}={value!r} is a number, and how it was written is not known any more: give it as text, also in "
            "an XCom or a parameter of the DAG."
        )
    if isinstance(value, Mapping):
        return {as_text(argument, key): as_text(f"{argument}[{key!r}]", item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [as_text(argument, item) for item in value]
    return value


def check_reading(log_output: object, unusable_results: object) -> None:
    """Check the arguments that say how an executed notebook is read.

    :raises InvalidNotebookJobError: names the argument, its value and the allowed values.
    """
    _check_choice("log_output", log_output, *_CHOICES["log_output"])
    _check_choice("unusable_results", unusable_results, *_CHOICES["unusable_results"])


def _check_choice(argument: str, value: object, *allowed: str) -> None:
    if value not in allowed:
        raise InvalidNotebookJobError(f"{argument}={value!r} is not allowed: use {' or '.join(map(repr, allowed))}.")

"""RunArguments become one frozen, checked ``NotebookExecutionJob``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from airflow_nbjobs import settings
from airflow_nbjobs.api.checks import check, valid_labels
from airflow_nbjobs.api.job import EncryptionSpec, NotebookExecutionJob
from airflow_nbjobs.api.names import template_name
from airflow_nbjobs.api.pacing import positive_seconds
from airflow_nbjobs.exceptions import InvalidNotebookJobError
from airflow_nbjobs.run.arguments import RunArguments
from airflow_nbjobs.run.identity import TaskIdentity, identify, request_hash
from airflow_nbjobs.run.prepare import Asked, prepare
from airflow_nbjobs.run.sources import source_fields
from airflow_nbjobs.run.staging import is_staged
from airflow_nbjobs.secrecy import check_no_secret, check_parameters

if TYPE_CHECKING:
    from airflow_nbjobs.service import JobService

__all__ = ["Builder", "Built", "as_connection", "asked_job", "build"]


@dataclass(frozen=True, kw_only=True)
class Built:
    """A job that is ready to be sent.

    :ivar parent: ``projects/p/locations/l``.
    :ivar job_ids: ids for the job, in the order in which they are tried; ``None`` lets the service pick one.
    :ivar file: file name for a staged copy of the notebook.
    """

    parent: str
    job: NotebookExecutionJob
    job_ids: tuple[str | None, ...]
    file: str

    @property
    def is_staged(self) -> bool:
        """Whether the notebook is too large to be sent with the request, and is put into Cloud Storage first."""
        return is_staged(self.job)


class Builder(Protocol):
    """Makes a job of the arguments of a run: :func:`build`, or a function around it."""

    def __call__(
        self,
        arguments: RunArguments,
        task: TaskIdentity,
        hook: JobService,
        *,
        folders: Iterable[Path],
        attempt: int = 0,
        log: Any,
    ) -> Built:
        """Return the job that the arguments ask for: see :func:`build`."""


def build(
    arguments: RunArguments,
    task: TaskIdentity,
    hook: JobService,
    *,
    folders: Iterable[Path],
    attempt: int = 0,
    log: Any,
) -> Built:
    """Return the job that the arguments ask for.

    :param folders: folders that a local notebook may be in.
    :param attempt: number of earlier submissions in this try; it selects the runtime template.
    :param log: a logger, for what people should know about the request.
    :raises InvalidNotebookJobError: names the argument that is wrong, its value and the remedy.
    :raises ApiError: if a notebook that needs parameters cannot be read.
    """
    parent = hook.parent(arguments.location or "", arguments.project_id)
    if not task.is_certain and settings.emulator_address() is None:
        log.warning(
            f"This Airflow's name {task.deployment!r} may be shared with other Airflows, so its jobs cannot be pruned: "
            "set [nbjobs] deployment."
        )
    _check_fallbacks(arguments, parent)
    asked = asked_job(arguments, parent)
    given = source_fields(arguments.notebook, folders)
    owned = asked if asked.service_account or asked.execution_user else as_connection(asked, hook, log)
    has_costs = bool(arguments.cost_labels)
    check(identify(replace(owned, **given), task, "", has_cost_labels=has_costs))  # before anything is read or sent
    parameters = arguments.parameters() if callable(arguments.parameters) else arguments.parameters
    prepared = prepare(
        Asked(
            notebook=arguments.notebook,
            source=given,
            parameters=check_parameters(_dict("parameters", parameters), log.warning),
            kernel_name=arguments.kernel_name,
            is_strict=arguments.unknown_parameters == "fail",
        ),
        hook,
        log.warning,
    )
    template = _template(arguments.attempts.template(attempt), parent)
    job = replace(owned, notebook_runtime_template_resource_name=template, **prepared.source)
    request = request_hash(asked, prepared.identity)
    job = identify(job, task, request, prepared.version, attempt=attempt, has_cost_labels=has_costs)
    return Built(
        parent=parent,
        job=check(job),
        # The ids are counted over the whole generation, also by a try that adopts nothing.
        job_ids=tuple(task.job_ids()) if arguments.deterministic_job_id else (arguments.job_id,),
        file=prepared.file,
    )


def _check_fallbacks(arguments: RunArguments, parent: str) -> None:
    for template in arguments.fallback_runtime_templates:
        try:
            _template(template, parent)
        except InvalidNotebookJobError as error:
            raise InvalidNotebookJobError(
                f"fallback_runtime_templates={arguments.fallback_runtime_templates!r} is invalid: {error}"
            ) from error


def _template(template: str | None, parent: str) -> str | None:
    project, location = parent.split("/")[1::2]
    return template and template_name(template, project, location)


def asked_job(arguments: RunArguments, parent: str) -> NotebookExecutionJob:
    """Return what the user asks for, without the notebook and without our own labels and names.

    :param parent: ``projects/p/locations/l``.
    :raises InvalidNotebookJobError: names the argument that is wrong, its value and the remedy.
    """
    labels = _dict("labels", arguments.labels)
    check_no_secret("display_name", arguments.display_name)
    check_no_secret("labels", labels)
    key = arguments.kms_key_name
    return NotebookExecutionJob(
        wire=_body(arguments.job_body),
        display_name=_text("display_name", arguments.display_name),
        notebook_runtime_template_resource_name=_template(arguments.runtime_template, parent),
        custom_environment_spec=arguments.custom_environment_spec,
        gcs_output_uri=arguments.gcs_output_uri,
        service_account=arguments.service_account,
        execution_user=arguments.execution_user,
        kernel_name=arguments.kernel_name,
        workbench_runtime=arguments.workbench_runtime,
        execution_timeout=_timeout(arguments),
        labels=valid_labels(labels) if arguments.sanitize_labels else _text_labels(labels),
        encryption_spec=EncryptionSpec(kms_key_name=key) if key else None,
        schedule_resource_name=arguments.schedule_resource_name,
    )


def _body(body: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return the fields that have no argument of their own."""
    given = _dict("job_body", body)
    known = {field.metadata["key"] for field in fields(NotebookExecutionJob) if "key" in field.metadata}
    if taken := sorted(known & given.keys()):
        raise InvalidNotebookJobError(
            f"job_body contains {taken}, which have arguments of their own or are set by the service: use the "
            "arguments."
        )
    return given


def _text(argument: str, value: object) -> str | None:
    if value is None or isinstance(value, str):
        return value
    raise InvalidNotebookJobError(f"{argument}={value!r} is not text: write it as a string.")


def _dict(argument: str, value: object) -> dict[str, Any]:
    if value is None or isinstance(value, Mapping):
        return dict(value or {})
    raise InvalidNotebookJobError(f"{argument}={value!r} is not a dict: give keys and values.")


def _text_labels(labels: Mapping[str, Any]) -> dict[str, str]:
    for key, value in labels.items():
        if not isinstance(key, str) or not isinstance(value, str):
            raise InvalidNotebookJobError(
                f"The label {key!r}={value!r} is not text: write it as a string, or set sanitize_labels=True."
            )
    return dict(labels)


def _timeout(arguments: RunArguments) -> timedelta | None:
    """Return the bound of the job: ``job_timeout``, or Airflow's own ``execution_timeout``."""
    given = arguments.job_timeout
    if given is None:
        bound = arguments.execution_timeout
        if bound is not None and bound <= timedelta(0):
            raise InvalidNotebookJobError(f"execution_timeout={bound!r} leaves no time: give more than 0.")
        return bound
    return given if isinstance(given, timedelta) else timedelta(seconds=positive_seconds("job_timeout", given))


def as_connection(job: NotebookExecutionJob, hook: JobService, log: Any) -> NotebookExecutionJob:
    """Return the job with the connection's own service account as its identity."""
    email = hook.service_account_email()
    if email is None:
        return job
    log.info(f"No identity was given: the notebook runs as the connection's own {email}.")
    return replace(job, service_account=email)

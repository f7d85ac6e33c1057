"""An operator's rendered arguments become one frozen job, checked."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_nbjobs import settings
from airflow_nbjobs.api.checks import check, valid_labels
from airflow_nbjobs.api.job import EncryptionSpec, NotebookExecutionJob
from airflow_nbjobs.api.names import template_name
from airflow_nbjobs.api.pacing import positive_seconds
from airflow_nbjobs.exceptions import InvalidNotebookJobError
from airflow_nbjobs.preparation import Request, prepare
from airflow_nbjobs.secrecy import check_no_secret, check_parameters
from airflow_nbjobs.sources import SourceFields, source_fields
from airflow_nbjobs.submission import TaskIdentity, identify, request_hash

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_nbjobs.operators.create import CreateNotebookExecutionJobOperator

__all__ = ["Built", "build_job", "check_attempts", "task_identity"]


@dataclass(frozen=True, kw_only=True)
class Built:
    """A job that is ready to be sent.

    :ivar file: what to call the notebook should it be staged.
    """

    job: NotebookExecutionJob
    file: str


def build_job(
    operator: CreateNotebookExecutionJobOperator,
    task: TaskIdentity,
    context: Context,
    template: str | None,
    *,
    attempt: int = 0,
) -> Built:
    """Return the job that a create operator asks for, ready to be sent.

    :param template: the runtime template to use, which may be a fallback of the one that was asked for.
    :param attempt: how often this try has submitted before, for lack of capacity.
    :raises InvalidNotebookJobError: naming each argument that is wrong, its value and the remedy.
    """
    if operator.job_id and operator.deterministic_job_id:
        raise InvalidNotebookJobError(
            f"job_id={operator.job_id!r} and deterministic_job_id=True are two ids: give one."
        )
    asked = _asked(operator)
    given = source_fields(operator.notebook, _folders(context))
    owned = asked if asked.service_account or asked.execution_user else _as_connection(asked, operator)
    check(identify(replace(owned, **given), task, request=""))  # before anything is read or sent
    prepared = prepare(_request(operator, given), operator.hook, _warning_once(operator))
    named = template and template_name(template, *_place(operator))
    job = replace(owned, notebook_runtime_template_resource_name=named, **prepared.source)
    job = identify(job, task, request_hash(asked, prepared.identity), prepared.version, attempt=attempt)
    return Built(job=check(job), file=prepared.file)


def check_attempts(operator: CreateNotebookExecutionJobOperator) -> None:
    """Check the arguments that nothing looks at until there is no machine for the job.

    :raises InvalidNotebookJobError: naming the argument, its value and the remedy.
    """
    retries, fallbacks = operator.capacity_retries, operator.fallback_runtime_templates
    if retries is not None and (not isinstance(retries, int) or retries < 0):
        raise InvalidNotebookJobError(
            f"capacity_retries={retries!r} is no number of retries: give 0 or more, or None for one for each fallback."
        )
    named = f"fallback_runtime_templates={fallbacks!r}"
    if isinstance(fallbacks, str) or not isinstance(fallbacks, Sequence):
        raise InvalidNotebookJobError(f"{named} is not a list: give a list of runtime templates.")
    if fallbacks and not operator.runtime_template:
        raise InvalidNotebookJobError(f"{named} has nothing to stand in for: give the first one as runtime_template.")
    for template in fallbacks:
        try:
            template_name(template, *_place(operator))
        except InvalidNotebookJobError as error:
            raise InvalidNotebookJobError(f"{named} has one that is wrong: {error}") from error
    if operator.job_id and operator.attempts().allows(1):
        raise InvalidNotebookJobError(
            f"job_id={operator.job_id!r} is one id, and capacity_retries or fallback_runtime_templates ask for several "
            "jobs: leave it out and set deterministic_job_id=True instead, or set capacity_retries=0."
        )


def _warning_once(operator: CreateNotebookExecutionJobOperator) -> Callable[[str], None]:
    """Return what warns of each thing once in a try, which may submit its notebook several times."""

    def warn(sentence: str) -> None:
        if sentence not in operator.warned_of:
            operator.warned_of.add(sentence)
            operator.log.warning("%s", sentence)

    return warn


def _request(operator: CreateNotebookExecutionJobOperator, given: SourceFields) -> Request:
    if operator.unknown_parameters not in {"warn", "fail"}:
        raise InvalidNotebookJobError(
            f"unknown_parameters={operator.unknown_parameters!r} is not possible: give 'warn' or 'fail'."
        )
    return Request(
        notebook=operator.notebook,
        source=given,
        parameters=check_parameters(_dict("parameters", operator.parameters), _warning_once(operator)),
        kernel_name=operator.kernel_name,
        is_strict=operator.unknown_parameters == "fail",
        with_outputs=operator.send_outputs,
    )


def _place(operator: CreateNotebookExecutionJobOperator) -> tuple[str, str]:
    project, location = operator.hook.parent(operator.location or "", operator.project_id).split("/")[1::2]
    return project, location


def _asked(operator: CreateNotebookExecutionJobOperator) -> NotebookExecutionJob:
    """Return what the user asked for but the notebook, without any name of ours."""
    template = operator.runtime_template
    key = operator.kms_key_name
    labels = _dict("labels", operator.labels)
    check_no_secret("display_name", operator.display_name)
    check_no_secret("labels", labels)
    return NotebookExecutionJob(
        wire=_body(operator.job_body),
        display_name=_text("display_name", operator.display_name),
        notebook_runtime_template_resource_name=template and template_name(template, *_place(operator)),
        custom_environment_spec=operator.custom_environment_spec,
        gcs_output_uri=operator.gcs_output_uri,
        service_account=operator.service_account,
        execution_user=operator.execution_user,
        kernel_name=operator.kernel_name,
        workbench_runtime=operator.workbench_runtime,
        execution_timeout=_timeout(operator),
        labels=valid_labels(labels) if operator.sanitize_labels else _text_labels(labels),
        encryption_spec=EncryptionSpec(kms_key_name=key) if key else None,
        schedule_resource_name=operator.schedule_resource_name,
    )


def _body(body: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return the fields that have no argument of their own."""
    given = _dict("job_body", body)
    known = {field.metadata["key"]: field.name for field in fields(NotebookExecutionJob) if "key" in field.metadata}
    if taken := sorted(known.keys() & given.keys()):
        raise InvalidNotebookJobError(
            f"job_body has {taken}, which are arguments of their own or the service's to write: use the arguments."
        )
    return given


def _text(argument: str, value: object) -> str | None:
    if value is None or isinstance(value, str):
        return value
    raise InvalidNotebookJobError(f"{argument}={value!r} is not text: write it as a string.")


def _dict(argument: str, value: object) -> dict[str, Any]:
    if value is None or isinstance(value, Mapping):
        return dict(value or {})
    raise InvalidNotebookJobError(f"{argument}={value!r} is not a dict: give its keys and values.")


def _text_labels(labels: Mapping[str, Any]) -> dict[str, str]:
    for key, value in labels.items():
        if not isinstance(key, str) or not isinstance(value, str):
            raise InvalidNotebookJobError(
                f"The label {key!r}={value!r} is not text: write it as a string, or set sanitize_labels=True."
            )
    return dict(labels)


def _timeout(operator: CreateNotebookExecutionJobOperator) -> timedelta | None:
    """Return the remote bound: ``job_timeout``, else Airflow's own ``execution_timeout``."""
    given = operator.job_timeout
    if given is None:
        bound = operator.execution_timeout
        if bound is not None and bound <= timedelta(0):
            raise InvalidNotebookJobError(f"execution_timeout={bound!r} is no time at all: give more than 0.")
        return bound
    if isinstance(given, timedelta):
        return given
    return timedelta(seconds=positive_seconds("job_timeout", given))


def _folders(context: Context) -> list[Path]:
    """Return where a local notebook may lie: beside the DAG file, and in its bundle."""
    folders = []
    if file := context["dag"].fileloc:
        folders.append(Path(file).parent)
    bundle = getattr(context["ti"], "bundle_instance", None)
    if bundle is not None:
        folders.append(Path(bundle.path))
    return folders


def task_identity(context: Context) -> TaskIdentity:
    """Return who asks: the task instance, its try and its generation."""
    ti = context["ti"]
    run = context.get("dag_run")
    return TaskIdentity(
        deployment=settings.deployment(),
        dag_id=ti.dag_id,
        run_id=ti.run_id,
        task_id=ti.task_id,
        map_index=-1 if ti.map_index is None else ti.map_index,
        try_number=ti.try_number,
        # Airflow's own formula: a clear sets max_tries to the try it makes plus the retries.
        first_try=max(1, min(ti.max_tries - (context["task"].retries or 0) + 1, ti.try_number)),
        run_started=getattr(run, "start_date", None),
        is_certain=settings.is_deployment_certain(),
        instance=None if getattr(ti, "id", None) is None else str(ti.id),
    )


def _as_connection(job: NotebookExecutionJob, operator: CreateNotebookExecutionJobOperator) -> NotebookExecutionJob:
    """Return the job run as the connection's own service account."""
    email = operator.hook.service_account_email()
    if email is None:
        return job
    operator.log.info("No identity was given: the notebook runs as the connection's own %s.", email)
    return replace(job, service_account=email)

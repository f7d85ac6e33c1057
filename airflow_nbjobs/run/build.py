"""RunArguments become one frozen, checked ``NotebookExecutionJob``."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_nbjobs import settings
from airflow_nbjobs.api.checks import check, valid_labels
from airflow_nbjobs.api.job import NotebookExecutionJob
from airflow_nbjobs.run.argument_rules import as_dict
from airflow_nbjobs.run.arguments import RunArguments
from airflow_nbjobs.run.early import check_fallbacks, full_template, plain_fields, text_labels
from airflow_nbjobs.run.identity import TaskIdentity, identify, request_hash
from airflow_nbjobs.run.prepare import Asked, prepare
from airflow_nbjobs.run.sources import source_fields
from airflow_nbjobs.run.staging import is_staged
from airflow_nbjobs.secrecy import check_no_secret, check_parameters

if TYPE_CHECKING:
    from airflow_nbjobs.service import JobService

__all__ = ["Built", "asked_job", "build", "with_identity"]


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
            f"This Airflow's name {task.deployment!r} may be shared with other Airflows: its jobs cannot be pruned. "
            "Set [nbjobs] deployment."
        )
    check_fallbacks(arguments.fallback_runtime_templates, parent)
    asked = asked_job(arguments, parent)
    given = source_fields(arguments.notebook, folders)
    owned = with_identity(asked, hook, log)
    has_costs = bool(arguments.cost_labels)
    check(identify(replace(owned, **given), task, "", has_cost_labels=has_costs))  # before anything is read or sent
    parameters = arguments.parameters() if callable(arguments.parameters) else arguments.parameters
    prepared = prepare(
        Asked(
            notebook=arguments.notebook,
            source=given,
            parameters=check_parameters(as_dict("parameters", parameters), log.warning),
            kernel_name=arguments.kernel_name,
            is_strict=arguments.unknown_parameters == "fail",
        ),
        hook,
        log.warning,
    )
    template = full_template(arguments.attempts.template(attempt), parent)
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


def asked_job(arguments: RunArguments, parent: str) -> NotebookExecutionJob:
    """Return what the user asks for, without the notebook and without our own labels and names.

    :param parent: ``projects/p/locations/l``.
    :raises InvalidNotebookJobError: names the argument that is wrong, its value and the remedy.
    """
    labels = as_dict("labels", arguments.labels)
    check_no_secret("display_name", arguments.display_name)
    check_no_secret("labels", labels)
    return NotebookExecutionJob(
        **plain_fields(vars(arguments)),
        display_name=arguments.display_name,
        notebook_runtime_template_resource_name=full_template(arguments.runtime_template, parent),
        custom_environment_spec=arguments.custom_environment_spec,
        gcs_output_uri=arguments.gcs_output_uri,
        service_account=arguments.service_account,
        labels=valid_labels(labels) if arguments.sanitize_labels else text_labels(labels),
    )


def with_identity(job: NotebookExecutionJob, hook: JobService, log: Any) -> NotebookExecutionJob:
    """Return the job with the connection's own service account as its identity, unless it has another."""
    if job.service_account or job.execution_user or (email := hook.service_account_email()) is None:
        return job
    log.info(f"No identity was given: the notebook runs as the connection's own {email}.")
    return replace(job, service_account=email)

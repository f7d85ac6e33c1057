"""Schedules and the jobs of runs: what a schedule's job asks for, and which job a schedule is to create."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from airflow_nbjobs.api import calls
from airflow_nbjobs.api.checks import check
from airflow_nbjobs.api.flows import Flow, Sleep, all_pages
from airflow_nbjobs.api.job import NotebookExecutionJob
from airflow_nbjobs.api.schedule import CreateNotebookExecutionJobRequest, Schedule
from airflow_nbjobs.exceptions import ApiError, InvalidNotebookJobError, NotFoundError
from airflow_nbjobs.hints import hint_for_missing
from airflow_nbjobs.run.argument_rules import check_values
from airflow_nbjobs.run.arguments import RunArguments
from airflow_nbjobs.run.build import asked_job, with_identity
from airflow_nbjobs.run.early import as_scheduled
from airflow_nbjobs.run.identity import RESERVED_PREFIX
from airflow_nbjobs.run.sources import InlineNotebook, source_fields

if TYPE_CHECKING:
    from airflow_nbjobs.service import JobService

__all__ = ["asked_schedule", "create_once", "job_of", "with_job_of_schedule"]

_LABEL = f"{RESERVED_PREFIX}schedule"
_PAUSES = (2.0, 5.0, 10.0)
"""Seconds before each look for a schedule whose create got no answer."""


def job_of(schedule: Schedule) -> NotebookExecutionJob:
    """Return the job that a schedule creates.

    :raises InvalidNotebookJobError: if it runs something else.
    """
    if schedule.job is None:
        what = "pipelines" if schedule.create_pipeline_job_request is not None else "no notebooks"
        raise InvalidNotebookJobError(
            f"The schedule {schedule.display_name!r} ({schedule.name}) runs {what}: name one that runs a notebook."
        )
    return schedule.job


def with_job_of_schedule(arguments: RunArguments, hook: JobService, *, name: str) -> RunArguments:
    """Return the arguments of a run of what a schedule runs.

    :param arguments: those of the task; a display name is taken from it first.
    :param name: whole name of the schedule, which is read.
    :raises InvalidNotebookJobError: if the schedule runs no notebook, or one that cannot be known.
    :raises ApiError: if the schedule cannot be read.
    """
    try:
        schedule = hook.schedules.get(name)
    except NotFoundError as error:
        raise error.with_message(f"{error.message} {hint_for_missing()}") from error
    job = job_of(schedule)
    bounds = [bound for bound in (job.execution_timeout, arguments.execution_timeout) if bound is not None]
    return replace(
        arguments,
        notebook=_notebook(job, schedule),
        gcs_output_uri=job.gcs_output_uri,
        runtime_template=job.notebook_runtime_template_resource_name,
        custom_environment_spec=job.custom_environment_spec,
        service_account=job.service_account,
        execution_user=job.execution_user,
        display_name=arguments.display_name or job.display_name,
        labels={key: value for key, value in job.labels.items() if not key.startswith(RESERVED_PREFIX)},
        kernel_name=job.kernel_name,
        workbench_runtime=job.workbench_runtime,
        kms_key_name=job.encryption_spec.kms_key_name if job.encryption_spec else None,
        job_timeout=arguments.job_timeout or min(bounds, default=None),
        job_body={key: value for key, value in job.wire.items() if key not in job.wired_keys()},
        schedule_resource_name=schedule.name,
    )


def _notebook(job: NotebookExecutionJob, schedule: Schedule) -> str | InlineNotebook:
    if gcs := job.gcs_notebook_source:
        return f"{gcs.uri}#{gcs.generation}" if gcs.generation else gcs.uri or ""
    if dataform := job.dataform_repository_source:
        repository = dataform.dataform_repository_resource_name or ""
        return f"{repository}@{dataform.commit_sha}" if dataform.commit_sha else repository
    content = job.direct_notebook_source.content if job.direct_notebook_source else None
    try:
        return InlineNotebook(json.loads(content or b""))
    except ValueError as error:
        raise InvalidNotebookJobError(
            f"The schedule {schedule.display_name!r} ({schedule.name}) runs a notebook that was sent with it, and that "
            "the service does not return. Let the schedule run a notebook in Cloud Storage or Dataform."
        ) from error


def asked_schedule(
    schedule: Schedule, job: Mapping[str, Any], arguments: RunArguments, hook: Any, log: Any
) -> Schedule:
    """Return a checked schedule that runs a notebook.

    :param schedule: its own fields.
    :param job: arguments of the create operator that describe the job.
    :param arguments: the place.
    :raises InvalidNotebookJobError: names the argument that is wrong, its value and the remedy.
    """
    counts = {name: getattr(schedule, name) for name in ("max_run_count", "max_concurrent_run_count")}
    check_values({"display_name": schedule.display_name or "", "cron": schedule.cron, **counts})
    parent = hook.parent(arguments.location or "", arguments.project_id)
    given = replace(arguments, **{"display_name": schedule.display_name, **as_scheduled(job)})
    asked = replace(asked_job(given, parent), **source_fields(given.notebook, ()))
    described = check(with_identity(asked, hook, log))
    request = CreateNotebookExecutionJobRequest(parent=parent, notebook_execution_job=described)
    return replace(schedule, create_notebook_execution_job_request=request)


def create_once(parent: str, schedule: Schedule, key: str) -> Flow[Schedule]:
    """Create a schedule, unless a task has created it before; return it.

    Schedules have no labels, and their ids cannot be chosen. A label of the job tells who has asked for it.

    :param parent: ``projects/p/locations/l``.
    :param key: of the task instance.
    :raises ApiError: if the service refuses, or it does not answer and there is no such schedule afterwards.
    """
    asked = json.dumps([key, schedule.to_request()], sort_keys=True)
    mark = hashlib.sha256(asked.encode()).hexdigest()[:32]
    if (found := (yield from _find(parent, schedule, mark))) is not None:
        return found
    job = job_of(schedule)
    request = schedule.create_notebook_execution_job_request or CreateNotebookExecutionJobRequest()
    marked = replace(request, notebook_execution_job=replace(job, labels={**job.labels, _LABEL: mark}))
    try:
        made: Schedule = yield calls.create_schedule(
            parent, replace(schedule, create_notebook_execution_job_request=marked)
        )
    except ApiError as error:
        for pause in _PAUSES if error.is_transient else ():
            yield Sleep(pause)
            if (found := (yield from _find(parent, schedule, mark))) is not None:
                return found
        raise
    return made


def _find(parent: str, schedule: Schedule, mark: str) -> Flow[Schedule | None]:
    quoted = json.dumps(schedule.display_name, ensure_ascii=False)
    listed = yield from all_pages(calls.SCHEDULES.list(parent, filter=f"display_name={quoted}"))
    return next((each for each in listed if each.job is not None and each.job.labels.get(_LABEL) == mark), None)

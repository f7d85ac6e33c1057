"""What the tab's header shows, as JSON: the task, its job, links, and the notebook or why there is none."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from airflow_nbjobs.api.job import JobState, NotebookExecutionJob
from airflow_nbjobs.links import LINKS, addresses
from airflow_nbjobs.notebooks.page_files import strict_json
from airflow_nbjobs.plugin.extra import check_extra
from airflow_nbjobs.plugin.look import Look
from airflow_nbjobs.plugin.notebook import ShownNotebook, check_size
from airflow_nbjobs.plugin.task_instance import TaskRecord
from airflow_nbjobs.plugin.unavailable import Unavailable
from airflow_nbjobs.run.summary import duration_of, reason
from airflow_nbjobs.secrecy import masked

__all__ = ["read_state"]

_REFRESH_SECONDS = 5
_SETTLED_SECONDS = 60
_LINK_SCHEMES = ("https://", "http://")
_WAITING = frozenset({JobState.UNSPECIFIED, JobState.QUEUED, JobState.PENDING})


def read_state(task: TaskRecord, number: int, look: Look) -> dict[str, Any]:
    """Return the state of a try.

    The keys are ``task`` (``state``, ``try``, ``tries``), ``job``, ``links``, ``results``, ``notebook`` (``key``,
    ``kind``, ``uri``, ``generation``, ``size``), ``problem`` (``code``, ``message``) and ``refresh_seconds``: when to
    ask again, or ``None``. What is not known is ``None``.

    :param number: of the try.
    :param look: what Google Cloud says.
    """
    job = look.job
    is_current = job is not None and number == task.current.number
    why = look.why or _why_not_rendered(look.notebook())
    may_change = (job is not None and not job.job_state.is_terminal) or (why is not None and why.may_change)
    return {
        "task": _task(task, number),
        "job": job and _job(job, task),
        "links": _links(job, look.project) if job else _pushed_links(task),
        "results": masked(strict_json(task.results)) if is_current else None,
        "notebook": look.shown and _notebook(look.shown),
        "problem": why and {"code": why.code, "message": str(why)},
        "refresh_seconds": _REFRESH_SECONDS if may_change else None,
    }


def _why_not_rendered(shown: ShownNotebook) -> Unavailable | None:
    try:
        check_size(shown)
        check_extra()
    except Unavailable as why:
        return why
    return None


def _task(task: TaskRecord, number: int) -> dict[str, Any]:
    return {
        "state": next((each.state for each in task.tries if each.number == number), None),
        "try": number,
        "tries": [{"number": each.number, "state": each.state} for each in task.tries],
    }


def _job(job: NotebookExecutionJob, task: TaskRecord) -> dict[str, Any]:
    waited, ran = _times(job, datetime.now(UTC))
    return {
        "id": job.job_id,
        "name": job.name,
        "display_name": job.display_name,
        "state": job.job_state.word,
        "is_over": job.job_state.is_terminal,
        "is_success": job.job_state.is_success,
        "is_settled": _is_settled(job),
        "reason": reason(job) if job.job_state.is_terminal and not job.job_state.is_success else None,
        "created": job.create_time and job.create_time.isoformat(),
        "updated": job.update_time and job.update_time.isoformat(),
        "waited_seconds": waited,
        "ran_seconds": ran,
        "seconds": duration_of(job) if job.job_state.is_terminal else None,
        "runtime": _runtime(job),
        "runs_as": job.execution_user or job.service_account,
        "source": _source(job, task),
        "version": job.labels.get("nbjobs-notebook"),
        "output": job.gcs_output_uri,
    }


def _is_settled(job: NotebookExecutionJob) -> bool:
    """Return whether a job ended so long ago that two requests of one view cannot see different states of it."""
    ended = job.update_time if job.job_state.is_terminal else None
    return ended is not None and (datetime.now(UTC) - ended).total_seconds() > _SETTLED_SECONDS


def _times(job: NotebookExecutionJob, now: datetime) -> tuple[float | None, float | None]:
    """Return how long an active job has waited and run, in seconds.

    The resource has no time of its start. While a job runs, its last update is the closest to it.
    """
    if job.job_state.is_terminal or job.create_time is None:
        return None, None
    if job.job_state in _WAITING or job.update_time is None:
        return max(0.0, (now - job.create_time).total_seconds()), None
    return duration_of(job), max(0.0, (now - job.update_time).total_seconds())


def _runtime(job: NotebookExecutionJob) -> str | None:
    if template := job.notebook_runtime_template_resource_name:
        return template
    machine = (job.custom_environment_spec or {}).get("machineSpec")
    kind = machine.get("machineType") if isinstance(machine, Mapping) else None
    if job.custom_environment_spec is not None:
        return f"custom environment, {kind}" if isinstance(kind, str) else "custom environment"
    return None


def _source(job: NotebookExecutionJob, task: TaskRecord) -> str | None:
    if job.gcs_notebook_source is not None and job.gcs_notebook_source.uri:
        generation = job.gcs_notebook_source.generation
        return f"{job.gcs_notebook_source.uri}#{generation}" if generation else job.gcs_notebook_source.uri
    if (dataform := job.dataform_repository_source) is not None:
        commit = dataform.commit_sha
        name = dataform.dataform_repository_resource_name or ""
        return f"{name}@{commit}" if commit else name
    return task.text_field("notebook")


def _links(job: NotebookExecutionJob, project: str) -> list[dict[str, str]]:
    found = addresses(job, project)
    return [{"name": link.name, "url": found[link.xcom_key]} for link in LINKS if link.xcom_key in found]


def _pushed_links(task: TaskRecord) -> list[dict[str, str]]:
    """Return the links of the task itself; Airflow shows them too. Anybody who may write XComs can forge them."""
    return [{"name": name, "url": url} for name, url in task.links.items() if url.startswith(_LINK_SCHEMES)]


def _notebook(shown: ShownNotebook) -> dict[str, Any]:
    stored = shown.stored
    return {
        "key": shown.key,
        "kind": shown.kind,
        "uri": stored.uri if stored else None,
        "generation": stored.generation if stored else None,
        "size": stored.size if stored else None,
    }

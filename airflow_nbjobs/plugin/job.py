"""The job of one try of a task instance: read with the tab's own connection, and shown only if it is this task's."""

from __future__ import annotations

from airflow_nbjobs import settings
from airflow_nbjobs.api.job import NotebookExecutionJob
from airflow_nbjobs.api.names import JobName, same_job
from airflow_nbjobs.api.pacing import Patience
from airflow_nbjobs.exceptions import NotFoundError
from airflow_nbjobs.hooks import NotebookExecutionJobHook
from airflow_nbjobs.plugin.task_instance import TaskRecord
from airflow_nbjobs.plugin.unavailable import Unavailable, explaining
from airflow_nbjobs.run.find import created, list_by_key
from airflow_nbjobs.run.identity import is_of_task, try_of

__all__ = ["QUICK", "find_job", "new_hook"]

QUICK = Patience(tries=3, seconds=10.0, timeout=20.0)
"""For a person who looks at a page."""

_SENSORS = frozenset({"NotebookExecutionJobSensor", "NotebookScheduleRunSensor"})
_ACTIVE = frozenset({"scheduled", "queued", "running", "deferred", "restarting", "up_for_reschedule"})
_BEFORE = frozenset({None, *_ACTIVE})
_ROLE = "roles/aiplatform.viewer on the project"


def new_hook() -> NotebookExecutionJobHook:
    """Return the hook of the tab's connection, which no task and no XCom can choose.

    :raises Unavailable: if there is no such connection.
    """
    connection = settings.ui_gcp_conn_id()
    with explaining("jobs", connection, _ROLE):
        return NotebookExecutionJobHook(gcp_conn_id=connection)


def find_job(task: TaskRecord, number: int, hook: NotebookExecutionJobHook) -> NotebookExecutionJob:
    """Return the job of a try.

    The note, which may be forged, only says which of the task's own jobs it is, and in which location. The project is
    that of the task's rendered fields or of the connection, and the job's display name has to end in the task's key.

    :param number: of the try.
    :raises Unavailable: if the try has no job, or it cannot be read.
    """
    if task.operator in _SENSORS:
        raise Unavailable(
            "sensor",
            "This task waits for the job of something else. Open the links to see that job; if a task of Airflow "
            "started it, its notebook is in the tab of that task.",
        )
    with explaining("jobs", hook.gcp_conn_id, _ROLE):
        project = task.text_field("project_id") or hook.project_id
        if not project:
            raise Unavailable(
                "no_project",
                f"The connection {hook.gcp_conn_id!r}, with which this page reads jobs, has no project. Give it one, "
                "or set [nbjobs] ui_gcp_conn_id of the API server to a connection that has one.",
            )
        if number == task.current.number and task.note is not None and not task.is_waiting:
            return _named_by_note(task, JobName.parse(task.note.name), project, hook)
        location = JobName.parse(task.note.name).location if task.note else task.text_field("location")
        if location is None:
            raise _without_job(task, number)
        jobs = hook.run_flow(location, list_by_key(hook.parent(location, project), task.key), QUICK)
    own = sorted((job for job in jobs if is_of_task(job, task.key)), key=created)
    if of_try := [job for job in own if try_of(job) == number]:
        return of_try[-1]
    may_come = number == task.current.number and task.current.state in _BEFORE
    if not may_come and (earlier := [try_of(job) for job in own if 0 < try_of(job) < number]):
        raise Unavailable(
            "no_job",
            f"Try {number} created no job. If it re-attached to the job of an earlier try, that is try {earlier[-1]}.",
        )
    raise _without_job(task, number)


def _named_by_note(
    task: TaskRecord, named: JobName, project: str, hook: NotebookExecutionJobHook
) -> NotebookExecutionJob:
    name = str(JobName(project, named.location, named.job_id))
    if named.project != project and not named.project.isdigit():
        raise _foreign(named.job_id, f"it is in the project {named.project!r} and not in {project!r}")
    try:
        job = hook.get_job(name, patience=QUICK)
    except NotFoundError as error:
        raise Unavailable(
            "job_gone",
            f"The job {named.job_id} does not exist in the project {project!r}: it was deleted. The task's result "
            "(XCom) names the executed notebook, which may still be in Cloud Storage.",
        ) from error
    if not is_of_task(job, task.key) or not same_job(job.name or "", name):
        raise _foreign(named.job_id, "its display name does not end in the key of this task instance")
    return job


def _foreign(job_id: str, why: str) -> Unavailable:
    return Unavailable(
        "foreign_job",
        f"The task's note names the job {job_id}, which is not shown here: {why}. If the task did create it, give the "
        "API server and the workers the same [nbjobs] deployment and [api] base_url.",
    )


def _without_job(task: TaskRecord, number: int) -> Unavailable:
    is_ours = task.operator in settings.TAB_OPERATORS
    state = next((each.state for each in task.tries if each.number == number), None)
    if number == task.current.number and state in _BEFORE:
        if not is_ours:
            return Unavailable(
                "no_job",
                "This task has no notebook job, or has not submitted it yet. Only tasks that run notebooks have a job.",
                may_change=state in _ACTIVE,
            )
        return Unavailable(
            "before_job", "The task has not submitted its job yet. Its notebook appears here then.", may_change=True
        )
    if not is_ours and not task.fields.get("gcs_output_uri"):
        return Unavailable("not_ours", "This task runs no notebook. Open the tab of a task that does.")
    return Unavailable("no_job", f"Try {number} ended without a job. The log of this try says why.")

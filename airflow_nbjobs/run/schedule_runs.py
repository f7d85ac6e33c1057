"""The job of a schedule that was created in a window, or the reason why the schedule created no job."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from airflow_nbjobs.api import calls
from airflow_nbjobs.api.calls import Page
from airflow_nbjobs.api.flows import Flow
from airflow_nbjobs.api.job import NotebookExecutionJob
from airflow_nbjobs.api.names import ResourceName
from airflow_nbjobs.api.schedule import Schedule
from airflow_nbjobs.run.window import Window

__all__ = ["find_run", "why_no_run"]


def find_run(schedule: ResourceName, window: Window) -> Flow[NotebookExecutionJob | None]:
    """Return the job of a schedule that belongs to a window; ``None`` if no job does.

    The list is read back to the start of the window, the newest job first.

    :raises ApiError: if the service refuses.
    """
    call = calls.list_jobs(
        schedule.parent, filter=f'schedule="{schedule}"', order_by="create_time desc", page_size=calls.PAGE_LIMIT
    )
    found: list[NotebookExecutionJob] = []
    while True:
        page: Page[NotebookExecutionJob] = yield call
        # The filter's form is documented in few words: a job of another schedule is never taken.
        found += [job for job in page.items if _schedule_id(job) == schedule.resource_id]
        if not page.next_page_token or _is_before(page.items, window.start):
            return window.choose(found)
        call = call.with_page_token(page.next_page_token)


def why_no_run(schedule: Schedule, window: Window) -> str:
    """Return the sentences that say that a schedule did not run, and what is known about it."""
    last, since = schedule.last_scheduled_run_response, schedule.last_pause_time
    state = schedule.state or "in an unknown state"
    if schedule.state == "PAUSED" and since is not None:
        state = f"PAUSED since {since.isoformat()}"
    parts = [f"It is {state}"]
    if last is None:
        parts.append("it has not run yet")
    else:
        due = f", due at {last.scheduled_run_time.isoformat()}," if last.scheduled_run_time else ""
        parts.append(f"its last run{due} was answered {last.run_response!r}")
    following = schedule.next_run_time
    parts.append(f"its next run is due at {following.isoformat()}" if following else "it has no next run")
    return (
        f"The schedule {schedule.display_name!r} did not run {window}: it created no job then. {'; '.join(parts)}. "
        f"Schedule: {schedule.name}"
    )


def _schedule_id(job: NotebookExecutionJob) -> str:
    return (job.schedule_resource_name or "").rpartition("/")[2]


def _is_before(jobs: Iterable[NotebookExecutionJob], moment: datetime) -> bool:
    return any(job.create_time is not None and job.create_time < moment for job in jobs)

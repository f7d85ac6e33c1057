"""The resource ``Schedule`` of Vertex AI, API v1, as one frozen value.

Fields and their meaning: Google's discovery document ``aiplatform.v1``, revision 20261106.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from airflow_nbjobs.api.job import NotebookExecutionJob
from airflow_nbjobs.api.wire import BOOLEAN, INTEGER, JSON, TEXT, TIMESTAMP, Message, message, wired

__all__ = ["CreateNotebookExecutionJobRequest", "Schedule", "ScheduleRunResponse"]


@dataclass(frozen=True, kw_only=True)
class CreateNotebookExecutionJobRequest(Message):
    """What a schedule sends for each run: where, and which job. The service refuses an id of the user here."""

    parent: str | None = wired("parent", TEXT)
    notebook_execution_job: NotebookExecutionJob | None = wired("notebookExecutionJob", message(NotebookExecutionJob))
    notebook_execution_job_id: str | None = wired("notebookExecutionJobId", TEXT)


@dataclass(frozen=True, kw_only=True)
class ScheduleRunResponse(Message):
    """The answer to the last request that a schedule sent: ``OK`` means that a job was created, not that it succeeded.

    ``scheduled_run_time`` is the time by the schedule's cron, which may be before the job's ``create_time``.
    """

    scheduled_run_time: datetime | None = wired("scheduledRunTime", TIMESTAMP)
    run_response: str | None = wired("runResponse", TEXT)


@dataclass(frozen=True, kw_only=True)
class Schedule(Message):
    """What creates jobs at the times of a cron expression.

    ``cron`` may begin with ``TZ=`` or ``CRON_TZ=`` and a time zone. ``display_name``, ``cron``,
    ``max_concurrent_run_count`` and one of the two requests are required. ``state`` is ``ACTIVE``, ``PAUSED`` or
    ``COMPLETED``. Pipelines use the same resource: their schedules have ``create_pipeline_job_request``.
    """

    name: str | None = wired("name", TEXT, output_only=True)
    display_name: str | None = wired("displayName", TEXT)
    cron: str | None = wired("cron", TEXT)
    start_time: datetime | None = wired("startTime", TIMESTAMP)
    end_time: datetime | None = wired("endTime", TIMESTAMP)
    max_run_count: int | None = wired("maxRunCount", INTEGER)
    max_concurrent_run_count: int | None = wired("maxConcurrentRunCount", INTEGER)
    max_concurrent_active_run_count: int | None = wired("maxConcurrentActiveRunCount", INTEGER)
    allow_queueing: bool = wired("allowQueueing", BOOLEAN)
    create_notebook_execution_job_request: CreateNotebookExecutionJobRequest | None = wired(
        "createNotebookExecutionJobRequest", message(CreateNotebookExecutionJobRequest)
    )
    create_pipeline_job_request: Mapping[str, Any] | None = wired("createPipelineJobRequest", JSON)
    state: str | None = wired("state", TEXT, output_only=True)
    catch_up: bool = wired("catchUp", BOOLEAN, output_only=True)
    started_run_count: int | None = wired("startedRunCount", INTEGER, output_only=True)
    next_run_time: datetime | None = wired("nextRunTime", TIMESTAMP, output_only=True)
    last_pause_time: datetime | None = wired("lastPauseTime", TIMESTAMP, output_only=True)
    last_resume_time: datetime | None = wired("lastResumeTime", TIMESTAMP, output_only=True)
    last_scheduled_run_response: ScheduleRunResponse | None = wired(
        "lastScheduledRunResponse", message(ScheduleRunResponse), output_only=True
    )
    create_time: datetime | None = wired("createTime", TIMESTAMP, output_only=True)
    update_time: datetime | None = wired("updateTime", TIMESTAMP, output_only=True)

    @property
    def job(self) -> NotebookExecutionJob | None:
        """The job that the schedule creates; ``None`` if it runs something else, as a schedule of pipelines does."""
        request = self.create_notebook_execution_job_request
        return request.notebook_execution_job if request else None

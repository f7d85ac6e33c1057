"""The fields of a schedule, as in Google's discovery document of aiplatform v1, revision 20261106.

A test compares them with the document. Of pipelines, which are not emulated, only the request is known.
"""

from __future__ import annotations

from collections.abc import Mapping

from airflow_nbjobs.emulator.jobs.schema import JOB
from airflow_nbjobs.emulator.jobs.schema import OUTPUT_ONLY as OF_A_JOB
from airflow_nbjobs.emulator.json_format import Kind, read_message
from airflow_nbjobs.emulator.records import Wire

ACTIVE, PAUSED, COMPLETED = "ACTIVE", "PAUSED", "COMPLETED"
REQUEST: Mapping[str, Kind] = {"notebookExecutionJob": JOB, "notebookExecutionJobId": "string", "parent": "string"}
SCHEDULE: Mapping[str, Kind] = {
    "allowQueueing": "boolean",
    "catchUp": "boolean",
    "createNotebookExecutionJobRequest": REQUEST,
    "createPipelineJobRequest": {"parent": "string", "pipelineJob": "any", "pipelineJobId": "string"},
    "createTime": "datetime",
    "cron": "string",
    "displayName": "string",
    "endTime": "datetime",
    "lastPauseTime": "datetime",
    "lastResumeTime": "datetime",
    "lastScheduledRunResponse": {"runResponse": "string", "scheduledRunTime": "datetime"},
    "maxConcurrentActiveRunCount": "int64",
    "maxConcurrentRunCount": "int64",
    "maxRunCount": "int64",
    "name": "string",
    "nextRunTime": "datetime",
    "startTime": "datetime",
    "startedRunCount": "int64",
    "state": ("STATE_UNSPECIFIED", ACTIVE, PAUSED, COMPLETED),
    "updateTime": "datetime",
}
RESUME: Mapping[str, Kind] = {"catchUp": "boolean"}
OUTPUT_ONLY = frozenset(
    {
        "catchUp", "createTime", "lastPauseTime", "lastResumeTime", "lastScheduledRunResponse", "name", "nextRunTime",
        "startedRunCount", "state", "updateTime",
    }
)  # fmt: skip
UPDATABLE = frozenset(
    {"allowQueueing", "cron", "displayName", "endTime", "maxConcurrentRunCount", "maxRunCount", "startTime"}
)
"""What a patch may change. That the request is not among them is how Terraform treats it; no document says it."""


def read_schedule(body: object) -> Wire:
    """Read the JSON body of a create or a patch; read-only fields are checked and dropped.

    :raises ServiceError: 400 for an unknown field, a value of the wrong type, or two requests.
    """
    schedule = read_message(body, SCHEDULE, "schedule")
    if job := schedule.get("createNotebookExecutionJobRequest", {}).get("notebookExecutionJob"):
        for field in OF_A_JOB & job.keys():
            del job[field]
    return {field: value for field, value in schedule.items() if field not in OUTPUT_ONLY}

"""The rules for a schedule that is well-formed JSON.

They come from the discovery document's field comments. ``docs/assumptions.md`` lists the readings that it leaves open.
"""

from __future__ import annotations

from airflow_nbjobs.emulator.database import nanoseconds
from airflow_nbjobs.emulator.errors import ServiceError, invalid
from airflow_nbjobs.emulator.jobs.checks import check_job
from airflow_nbjobs.emulator.records import Wire
from airflow_nbjobs.emulator.resources import Parent, with_project_number
from airflow_nbjobs.emulator.schedules.cron import Cron

NOTEBOOK, PIPELINE = "createNotebookExecutionJobRequest", "createPipelineJobRequest"


def check_schedule(schedule: Wire, parent: Parent) -> None:
    """Check a schedule as :func:`~airflow_nbjobs.emulator.schedules.schema.read_schedule` returns it.

    :raises ServiceError: 400 that names the field, its value and the rule.
    """
    if not 1 <= len(schedule.get("displayName", "")) <= 128:
        raise _bad("display_name", schedule.get("displayName", ""), "it is required and has at most 128 characters")
    try:
        Cron.parse(schedule.get("cron", ""))
    except ValueError as error:
        raise _bad("cron", schedule.get("cron", ""), str(error)) from None
    _check_counts(schedule)
    if "endTime" in schedule and nanoseconds(schedule["endTime"]) <= nanoseconds(schedule["startTime"]):
        raise _bad("end_time", schedule["endTime"], "it must be after start_time, which is the time of the create")
    if PIPELINE in schedule:
        return
    if NOTEBOOK not in schedule:
        raise invalid("schedule.request", f"One request is required: {NOTEBOOK} or {PIPELINE}.")
    _check_request(schedule[NOTEBOOK], parent)


def _check_counts(schedule: Wire) -> None:
    if int(schedule.get("maxConcurrentRunCount", 0)) < 1:
        value = schedule.get("maxConcurrentRunCount", "0")
        raise _bad("max_concurrent_run_count", value, "it is required, and 1 or more")
    if int(schedule.get("maxRunCount", 1)) < 1:
        raise _bad("max_run_count", schedule["maxRunCount"], "it must be 1 or more")
    if "maxConcurrentActiveRunCount" in schedule and NOTEBOOK in schedule:
        value = schedule["maxConcurrentActiveRunCount"]
        raise _bad("max_concurrent_active_run_count", value, "it is supported for pipelines only")


def _check_request(request: Wire, parent: Parent) -> None:
    given = request.get("parent", "")
    if with_project_number(given) != str(parent):
        raise _bad(f"{NOTEBOOK}.parent", given, f"it is required, and must be the place of the schedule, {parent}")
    if request.get("notebookExecutionJobId"):
        rule = "an id of the user is not supported in a schedule"
        raise _bad(f"{NOTEBOOK}.notebook_execution_job_id", request["notebookExecutionJobId"], rule)
    check_job(request.get("notebookExecutionJob", {}), parent)


def _bad(field: str, value: object, rule: str) -> ServiceError:
    return invalid(f"schedule.{field}", f"Invalid {field} {value!r}: {rule}.")

"""The job of a schedule as the arguments of a run."""

from __future__ import annotations

from dataclasses import fields, replace
from types import SimpleNamespace
from typing import Any

from airflow_nbjobs.api.job import NotebookExecutionJob
from airflow_nbjobs.api.schedule import Schedule
from airflow_nbjobs.run.arguments import RunArguments
from airflow_nbjobs.run.build import asked_job
from airflow_nbjobs.run.scheduled import with_job_of_schedule
from airflow_nbjobs.run.sources import source_fields

PARENT = "projects/p/locations/us-central1"
SCHEDULE = f"{PARENT}/schedules/5"
BOTH = {
    "displayName": "report",
    "gcsOutputUri": "gs://bucket/runs",
    "kernelName": "python3",
    "workbenchRuntime": {},
    "executionTimeout": "600s",
    "labels": {"team": "a"},
    "encryptionSpec": {"kmsKeyName": f"{PARENT}/keyRings/r/cryptoKeys/k"},
    "scheduleResourceName": SCHEDULE,
    "aFieldOfNextYear": {"kept": True},
}
JOBS: list[dict[str, Any]] = [
    {
        **BOTH,
        "gcsNotebookSource": {"uri": "gs://bucket/report.ipynb", "generation": "17"},
        "notebookRuntimeTemplateResourceName": f"{PARENT}/notebookRuntimeTemplates/9",
        "serviceAccount": "runner@p.iam.gserviceaccount.com",
    },
    {
        **BOTH,
        "dataformRepositorySource": {
            "dataformRepositoryResourceName": f"{PARENT}/repositories/r",
            "commitSha": "a" * 40,
        },
        "customEnvironmentSpec": {"machineSpec": {"machineType": "e2-standard-4"}},
        "executionUser": "somebody@example.com",
    },
]


def test_no_field_of_a_schedules_job_is_lost():
    for wire in JOBS:
        request = {"parent": PARENT, "notebookExecutionJob": wire}
        schedule = Schedule.from_wire({"name": SCHEDULE, "createNotebookExecutionJobRequest": request})
        hook: Any = SimpleNamespace(schedules=SimpleNamespace(get={SCHEDULE: schedule}.__getitem__))
        arguments = with_job_of_schedule(RunArguments(), hook, name=SCHEDULE)
        asked = replace(asked_job(arguments, PARENT), **source_fields(arguments.notebook, ()))
        assert asked.to_request() == wire


def test_that_test_knows_all_fields():
    written = NotebookExecutionJob.output_only_keys() | {"directNotebookSource"}  # its content is not returned
    given = {key for wire in JOBS for key in wire} - {"aFieldOfNextYear"}
    assert given == {field.metadata["key"] for field in fields(NotebookExecutionJob) if field.metadata} - written

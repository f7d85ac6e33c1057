"""Each call, against Google's discovery document: verb, path, parameters, body, and how its answer is read."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_nbjobs.api import calls
from airflow_nbjobs.api.job import JobState, NotebookExecutionJob, Operation
from airflow_nbjobs.api.schedule import CreateNotebookExecutionJobRequest, Schedule
from airflow_nbjobs.api.template import NotebookRuntimeTemplate
from airflow_nbjobs.exceptions import InvalidNotebookJobError
from tests.support import discovery
from tests.support.raw_server import JOB, OPERATION, PARENT

VIEW = "NOTEBOOK_EXECUTION_JOB_VIEW_FULL"
A_JOB = NotebookExecutionJob.from_wire(
    {
        "name": "the service's to write",
        "jobState": "JOB_STATE_RUNNING",
        "displayName": "report",
        "gcsNotebookSource": {"uri": "gs://b/x.ipynb", "generation": "17"},
        "customEnvironmentSpec": {"machineSpec": {"machineType": "e2-standard-4"}},
        "gcsOutputUri": "gs://b/runs",
        "serviceAccount": "a@p.iam.gserviceaccount.com",
        "executionTimeout": "3600s",
        "labels": {"team": "a"},
        "encryptionSpec": {"kmsKeyName": f"{PARENT}/keyRings/r/cryptoKeys/k"},
    }
)
SCHEDULE, TEMPLATE = f"{PARENT}/schedules/5", f"{PARENT}/notebookRuntimeTemplates/5"
A_SCHEDULE = Schedule(
    name=SCHEDULE,
    display_name="daily report",
    cron="TZ=Europe/Berlin 0 6 * * *",
    end_time=datetime(2027, 1, 1, tzinfo=UTC),
    max_run_count=10,
    max_concurrent_run_count=1,
    allow_queueing=True,
    create_notebook_execution_job_request=CreateNotebookExecutionJobRequest(
        parent=PARENT,
        notebook_execution_job=replace(A_JOB, wire=A_JOB.to_request(), name=None, job_state=JobState.UNSPECIFIED),
    ),
)
A_TEMPLATE = NotebookRuntimeTemplate.from_wire(
    {
        "name": TEMPLATE,
        "displayName": "small",
        "machineSpec": {"machineType": "e2-standard-4"},
        "eucConfig": {"eucDisabled": True},
        "softwareConfig": {"env": [{"name": "A", "value": "b"}]},
        "labels": {"team": "a"},
    }
)
JOBS = "projects.locations.notebookExecutionJobs"
PLACE = "aiplatform.projects.locations"
METHODS: dict[str, calls.Call[Any]] = {
    f"aiplatform.{JOBS}.create": calls.create_job(PARENT, A_JOB, "own-id"),
    f"aiplatform.{JOBS}.get": calls.get_job(JOB, VIEW),
    f"aiplatform.{JOBS}.list": calls.list_jobs(PARENT, filter="a", order_by="b", page_size=1, view=VIEW),
    f"aiplatform.{JOBS}.delete": calls.delete_job(JOB),
    f"aiplatform.{JOBS}.operations.get": calls.get_operation(OPERATION),
    f"aiplatform.{JOBS}.operations.list": calls.list_operations(JOB),
    f"aiplatform.{JOBS}.operations.cancel": calls.cancel_operation(OPERATION),
    f"{PLACE}.schedules.create": calls.create_schedule(PARENT, A_SCHEDULE),
    f"{PLACE}.schedules.get": calls.SCHEDULES.get(SCHEDULE),
    f"{PLACE}.schedules.list": calls.SCHEDULES.list(PARENT, filter="a", order_by="b", page_size=1),
    f"{PLACE}.schedules.patch": calls.SCHEDULES.patch(A_SCHEDULE, ["cron", "endTime"]),
    f"{PLACE}.schedules.delete": calls.SCHEDULES.delete(SCHEDULE),
    f"{PLACE}.schedules.pause": calls.pause_schedule(SCHEDULE),
    f"{PLACE}.schedules.resume": calls.resume_schedule(SCHEDULE, catch_up=True),
    f"{PLACE}.schedules.operations.get": calls.get_operation(f"{SCHEDULE}/operations/7"),
    f"{PLACE}.notebookRuntimeTemplates.create": calls.create_template(PARENT, A_TEMPLATE, "own-id"),
    f"{PLACE}.notebookRuntimeTemplates.get": calls.TEMPLATES.get(TEMPLATE),
    f"{PLACE}.notebookRuntimeTemplates.list": calls.TEMPLATES.list(PARENT, filter="a", order_by="b", page_size=1),
    f"{PLACE}.notebookRuntimeTemplates.patch": calls.TEMPLATES.patch(A_TEMPLATE, ["softwareConfig.env"]),
    f"{PLACE}.notebookRuntimeTemplates.delete": calls.TEMPLATES.delete(TEMPLATE),
    f"{PLACE}.notebookRuntimeTemplates.operations.get": calls.get_operation(f"{TEMPLATE}/operations/7"),
}


@pytest.mark.parametrize("method", METHODS)
def test_a_call_is_the_method_of_the_discovery_document(method):
    call = METHODS[method]
    found = discovery.method_of(call.verb, call.path)
    assert found["id"] == method
    for name, value in call.query.items():
        parameter = found["parameters"][name]
        assert parameter["location"] == "query"
        assert isinstance(value, str)
        if parameter["type"] == "integer":
            assert value == str(int(value))
        if "enum" in parameter:
            assert value in parameter["enum"]


def test_a_page_token_is_a_parameter_of_a_list():
    call = METHODS[f"aiplatform.{JOBS}.list"].with_page_token("t")
    assert call.query == {"filter": "a", "orderBy": "b", "pageSize": "1", "view": VIEW, "pageToken": "t"}
    assert "pageToken" in discovery.method_of(call.verb, call.path)["parameters"]


@pytest.mark.parametrize("method", METHODS)
def test_a_body_is_valid_by_its_schema(method):
    call = METHODS[method]
    schema = discovery.method_of(call.verb, call.path).get("request")
    if schema is None:
        assert not call.body
    else:
        body = json.loads(json.dumps(call.body))
        assert discovery.problems_of(body, schema["$ref"], "body", sent=True) == []


def test_only_a_create_may_not_be_repeated():
    once = [method.split(".")[3:] for method, call in METHODS.items() if not call.may_repeat]
    assert once == [[name, "create"] for name in ("notebookExecutionJobs", "schedules", "notebookRuntimeTemplates")]


def test_a_patch_sends_the_fields_that_change_and_no_others():
    call = METHODS[f"{PLACE}.schedules.patch"]
    assert call.query == {"updateMask": "cron,endTime"}
    assert call.body == {"cron": "TZ=Europe/Berlin 0 6 * * *", "endTime": "2027-01-01T00:00:00.000000Z"}
    assert METHODS[f"{PLACE}.notebookRuntimeTemplates.patch"].body == {"softwareConfig": A_TEMPLATE.software_config}
    with pytest.raises(InvalidNotebookJobError, match=r"No field of .*schedules/5 is named"):
        calls.SCHEDULES.patch(A_SCHEDULE, [])


@pytest.mark.parametrize("resource", [calls.SCHEDULES, calls.TEMPLATES], ids=lambda resource: resource.collection)
def test_an_answer_about_another_resource_is_refused(resource):
    name = f"{PARENT}/{resource.collection}/5"
    numbered = f"projects/123/locations/{PARENT.split('/')[3]}/{resource.collection}/5"
    assert resource.get(name).parse({"name": numbered}).name == numbered
    for answer in ({}, {"name": f"{PARENT}/{resource.collection}/6"}, {"name": JOB}, {"name": 5}):
        with pytest.raises((ValueError, TypeError)):
            resource.get(name).parse(answer)
    with pytest.raises(InvalidNotebookJobError, match="page_size=0 is not possible: give 1 or more"):
        resource.list(PARENT, page_size=0)


def test_parameters_that_are_not_given_are_not_sent():
    assert calls.create_job(PARENT, A_JOB).query == {}
    assert calls.get_job(JOB).query == {}
    assert calls.list_jobs(PARENT).query == {}


def test_a_notebook_is_not_in_the_repr_of_its_create():
    assert "report" not in repr(METHODS[f"aiplatform.{JOBS}.create"])


@given(st.integers().filter(lambda size: not 1 <= size <= calls.PAGE_LIMIT))
def test_a_page_has_1_to_100_items(size):
    with pytest.raises(InvalidNotebookJobError, match=f"page_size={size} is not possible: give 1 to 100"):
        calls.list_jobs(PARENT, page_size=size)


@pytest.mark.parametrize("answer", [{}, {"name": ""}, {"name": f"{PARENT}/operations/7"}, {"name": JOB}, [], None])
def test_a_created_operation_must_name_the_job(answer):
    """The job could not be found again otherwise."""
    with pytest.raises((InvalidNotebookJobError, TypeError)):
        calls.create_job(PARENT, A_JOB).parse(answer)
    assert calls.create_job(PARENT, A_JOB).parse({"name": OPERATION}) == Operation(name=OPERATION)


@pytest.mark.parametrize("answer", [{}, {"notebookExecutionJobs": None}, {"notebookExecutionJobs": []}])
def test_an_empty_page_is_the_last(answer):
    assert calls.list_jobs(PARENT).parse(answer) == calls.Page([], "")

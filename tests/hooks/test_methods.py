"""Every method of the hook, as tasks of a user's own call them: lists without a variable for the hook."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import pytest

from airflow_nbjobs.api import calls
from airflow_nbjobs.api.flows import all_pages
from airflow_nbjobs.api.job import GcsNotebookSource, NotebookExecutionJob
from airflow_nbjobs.api.names import job_of_operation
from airflow_nbjobs.api.schedule import CreateNotebookExecutionJobRequest, Schedule
from airflow_nbjobs.api.template import NotebookRuntimeTemplate
from airflow_nbjobs.exceptions import InvalidNotebookJobError, NotFoundError
from airflow_nbjobs.hooks import NotebookExecutionJobAsyncHook, NotebookExecutionJobHook
from tests.support.cloud import Cloud
from tests.support.task_runs import ACCOUNT, REGION, TEMPLATE


def make_job(project: str) -> str:
    """Create a job, and return its name."""
    job = NotebookExecutionJob(
        display_name="report",
        gcs_notebook_source=GcsNotebookSource(uri="gs://notebooks/report.ipynb"),
        notebook_runtime_template_resource_name=(
            f"projects/{project}/locations/{REGION}/notebookRuntimeTemplates/{TEMPLATE}"
        ),
        gcs_output_uri="gs://results",
        service_account=ACCOUNT,
    )
    return str(job_of_operation(NotebookExecutionJobHook().create_job(job, location=REGION).name))


def names(found: Iterable[Any]) -> set[str]:
    """Return the names of what a list has."""
    return {item.name for item in found}


def test_pages_are_read_though_nothing_else_holds_the_hook(cloud: Cloud) -> None:
    made = {make_job(cloud.project) for _ in range(3)}
    assert names(NotebookExecutionJobHook().list_jobs(location=REGION, page_size=2)) == made
    assert cloud.requests()["list"] == {"200": 2}


def test_a_job_s_operations_are_listed_got_and_cancelled(cloud: Cloud) -> None:
    cloud.fault({"job_state": "JOB_STATE_RUNNING"})
    name = make_job(cloud.project)
    (operation,) = NotebookExecutionJobHook().list_operations(name)
    assert str(job_of_operation(operation.name)) == name
    assert NotebookExecutionJobHook().get_operation(operation.name).done is False
    NotebookExecutionJobHook().cancel_operation(operation.name)
    assert cloud.requests()["cancel"] == {"200": 1}
    assert NotebookExecutionJobHook().get_job(name).job_state.word in {"CANCELLING", "CANCELLED"}


def test_a_job_is_deleted_if_it_is_there(cloud: Cloud) -> None:
    name = make_job(cloud.project)
    assert NotebookExecutionJobHook().delete_job(name).name.startswith(f"{name.rpartition('/')[0]}/")
    with pytest.raises(NotFoundError):
        NotebookExecutionJobHook().delete_job(f"{name}9")
    assert cloud.requests()["delete"] == {"200": 1, "404": 1}


def test_a_job_is_created_with_the_given_id_and_project(cloud: Cloud) -> None:
    name = make_job(cloud.project)
    job = NotebookExecutionJobHook().get_job(name)
    made = NotebookExecutionJobHook().create_job(job, location=REGION, project_id=f"{cloud.project}-2", job_id="mine")
    assert made.name.split("/")[5] == "mine"
    assert [job["id"] for job in cloud.book(f"{cloud.project}-2")] == ["mine"]


def test_a_job_with_something_wrong_is_not_sent(cloud: Cloud) -> None:
    job = NotebookExecutionJobHook().get_job(make_job(cloud.project))
    with pytest.raises(InvalidNotebookJobError, match="service_account='nobody' is not an e-mail address"):
        NotebookExecutionJobHook().create_job(replace(job, service_account="nobody"), location=REGION)
    assert cloud.requests()["create"] == {"200": 1}


def make_schedule() -> Schedule:
    """Create a schedule that runs once a year."""
    hook = NotebookExecutionJobHook()
    parent = hook.parent(REGION)
    job = NotebookExecutionJob(
        display_name="report",
        gcs_notebook_source=GcsNotebookSource(uri="gs://notebooks/report.ipynb"),
        notebook_runtime_template_resource_name=f"{parent}/notebookRuntimeTemplates/{TEMPLATE}",
        gcs_output_uri="gs://results",
        service_account=ACCOUNT,
    )
    request = CreateNotebookExecutionJobRequest(parent=parent, notebook_execution_job=job)
    schedule = Schedule(
        display_name="daily",
        cron="0 6 1 1 *",
        max_concurrent_run_count=1,
        create_notebook_execution_job_request=request,
    )
    return hook.schedules.create(schedule, location=REGION)


def test_a_schedule_has_all_methods(cloud: Cloud) -> None:
    schedules = NotebookExecutionJobHook().schedules
    made = make_schedule()
    name = made.name or ""
    assert schedules.get(name) == made
    schedules.pause(name)
    assert schedules.get(name).state == "PAUSED"
    schedules.resume(name, catch_up=True)
    changed = schedules.patch(replace(made, cron="0 7 1 1 *", display_name="other"), ["cron"])
    assert (changed.cron, changed.display_name, changed.state) == ("0 7 1 1 *", "daily", "ACTIVE")
    make_schedule()
    assert len(list(NotebookExecutionJobHook().schedules.list(location=REGION, page_size=1))) == 2
    assert NotebookExecutionJobHook().get_operation(schedules.delete(name).name).done
    with pytest.raises(NotFoundError):
        schedules.get(name)


def test_a_template_has_all_methods(cloud: Cloud) -> None:
    templates = NotebookExecutionJobHook().templates
    operation = templates.create(NotebookRuntimeTemplate(display_name="small"), location=REGION, template_id="mine")
    assert NotebookExecutionJobHook().get_operation(operation.name).done
    name = operation.name.partition("/operations/")[0]
    assert names(templates.list(location=REGION, filter="displayName=small")) == {name}
    changed = templates.patch(replace(templates.get(name), display_name="large"), ["displayName"])
    assert templates.get(name).display_name == changed.display_name == "large"
    templates.delete(name)
    with pytest.raises(NotFoundError):
        templates.get(name)


async def test_the_async_hook_sends_the_same_calls(cloud: Cloud) -> None:
    name = make_schedule().name or ""
    hook = NotebookExecutionJobAsyncHook()
    await hook.send(REGION, calls.pause_schedule(name))
    state = (await hook.send(REGION, calls.SCHEDULES.get(name))).state
    listed = await hook.run_flow(REGION, all_pages(calls.TEMPLATES.list(name.partition("/schedules/")[0])))
    await hook.close()
    assert (state, len(listed)) == ("PAUSED", 0)

"""Every method of the hook, as tasks of a user's own call them: lists without a variable for the hook."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import pytest

from airflow_nbjobs.api.job import GcsNotebookSource, NotebookExecutionJob
from airflow_nbjobs.api.names import job_of_operation
from airflow_nbjobs.exceptions import InvalidNotebookJobError, NotFoundError
from airflow_nbjobs.hooks import NotebookExecutionJobHook
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

"""Delete, get and list."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from airflow_nbjobs.exceptions import NbjobsError, NotFoundError
from airflow_nbjobs.hooks import NotebookExecutionJobHook
from airflow_nbjobs.operators import (
    DeleteNotebookExecutionJobOperator,
    GetNotebookExecutionJobOperator,
    ListNotebookExecutionJobsOperator,
)
from tests.support.cloud import Cloud
from tests.support.google_lookalike import NAME, Server
from tests.support.task_runs import NOTEBOOK, REGION, TaskRun, submit


def run(make: Any, **arguments: Any) -> TaskRun:
    """Return a run of a task of another operator."""
    return TaskRun(lambda: make(task_id="task", location=REGION, **arguments))


def delete(job: Any, **arguments: Any) -> Any:
    """Delete a job."""
    return run(DeleteNotebookExecutionJobOperator, job_name=job, poll_interval=0.1, **arguments).execute()


def names(**arguments: Any) -> list[str]:
    """Return the readable display names of a list."""
    found = run(ListNotebookExecutionJobsOperator, **arguments).execute()
    return [job["display_name"].rpartition("-")[0] for job in found]


@pytest.mark.parametrize("shape", ["output", "name", "id"])
def test_a_running_job_is_ended_and_deleted(cloud: Cloud, shape: str) -> None:
    cloud.fault({"job_state": "JOB_STATE_RUNNING"})
    made = submit()
    job = {"output": made, "name": made["name"], "id": made["job_id"]}[shape]
    assert delete(job).endswith(f"/{made['job_id']}")
    (kept,) = cloud.book()
    assert (kept["deleted"], kept["state"]) == (True, "JOB_STATE_CANCELLED")


def test_the_delete_operation_is_waited_for(cloud: Cloud) -> None:
    cloud.fault({"job_state": "JOB_STATE_RUNNING"})
    made = submit()
    cloud.reset_requests()
    delete(made)
    assert cloud.requests()["delete"] == {"200": 1}
    assert set(cloud.requests()["get_operation"]) <= {"200", "404"}


def test_a_delete_that_the_service_refuses_fails_with_its_words(
    connect: Callable[..., Any], google: Callable[..., Server]
) -> None:
    connect()
    error = {"code": 9, "message": "A policy keeps it."}
    google((200, {}, {"name": f"{NAME}/operations/1", "done": True, "error": error}))
    with pytest.raises(NbjobsError, match=rf"{NAME}: A policy keeps it\."):
        delete(NAME)


def test_a_missing_job_fails_the_delete(project: str) -> None:
    with pytest.raises(NotFoundError, match=r"notebookExecutionJobs/99 .*NBJOBS_EMULATOR_HOST"):
        delete("99")


def test_a_missing_job_can_count_as_deleted(project: str) -> None:
    assert delete("99", ignore_if_missing=True) is None
    made = submit()
    assert delete(made) is not None
    assert delete(made, ignore_if_missing=True) is None


def test_get_returns_the_resource_in_the_services_spelling(project: str) -> None:
    made = submit(display_name="mine")
    task = run(GetNotebookExecutionJobOperator, job_name=made)
    job = task.execute()
    assert (job["name"], job["gcsOutputUri"]) == (made["name"], "gs://results/runs")
    assert job["displayName"].startswith("mine-")
    assert {"jobState", "createTime", "updateTime", "labels"} <= job.keys()
    assert "_link_NotebookExecutionJobListLink" in task.ti.xcoms


def test_get_never_returns_what_a_notebook_says(project: str) -> None:
    made = submit(notebook=NOTEBOOK)
    assert "directNotebookSource" not in run(GetNotebookExecutionJobOperator, job_name=made).execute()


def test_get_of_a_missing_job_fails(project: str) -> None:
    with pytest.raises(NotFoundError, match="NBJOBS_EMULATOR_HOST"):
        run(GetNotebookExecutionJobOperator, job_name="99").execute()


@pytest.fixture
def three_jobs(project: str) -> None:
    """Create three jobs, one after the other."""
    for name in ("b", "a", "c"):
        submit(display_name=name)


def test_a_list_has_the_newest_first(three_jobs: None) -> None:
    assert names() == ["c", "a", "b"]
    task = run(ListNotebookExecutionJobsOperator)
    newest = task.execute()[0]
    assert set(newest) == {
        "v", "name", "job_id", "state", "executed_notebook", "notebook_version",
        "display_name", "create_time", "update_time",
    }  # fmt: skip
    assert set(task.ti.xcoms) == {"_link_NotebookExecutionJobListLink"}


def test_a_list_is_ordered_as_asked(three_jobs: None) -> None:
    assert names(order_by="display_name") == ["a", "b", "c"]
    assert names(order_by="create_time") == ["b", "a", "c"]


def test_a_list_is_filtered_by_a_template(three_jobs: None) -> None:
    assert names(filter="displayName=~\"{{ 'a' }}-.*\"") == ["a"]


def test_a_limit_asks_for_no_more_than_it_needs(cloud: Cloud, three_jobs: None) -> None:
    cloud.reset_requests()
    assert names(limit=2) == ["c", "a"]
    assert cloud.requests() == {"list": {"200": 1}}


def test_all_pages_are_read_without_a_limit(cloud: Cloud) -> None:
    hook = NotebookExecutionJobHook()
    job = hook.get_job(submit()["name"])
    for _ in range(102):
        hook.create_job(job, location=REGION)
    cloud.reset_requests()
    assert len(names(limit=None)) == 103
    assert cloud.requests() == {"list": {"200": 2}}
    assert len(names()) == 100


def test_a_filter_that_the_service_refuses_shows_its_words(project: str) -> None:
    with pytest.raises(Exception, match="400 INVALID_ARGUMENT"):
        names(filter="labels.team=a")

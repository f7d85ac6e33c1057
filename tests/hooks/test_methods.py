"""Every method of the hooks, as tasks of a user's own call them: lists without a variable for the hook."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from dataclasses import replace
from typing import Any

import pytest

from airflow_nbjobs.api.job import GcsNotebookSource, NotebookExecutionJob
from airflow_nbjobs.api.names import job_of_operation
from airflow_nbjobs.emulator import Emulator
from airflow_nbjobs.exceptions import InvalidNotebookJobError, NotFoundError
from airflow_nbjobs.hooks import NotebookExecutionJobAsyncHook, NotebookExecutionJobHook
from tests.support.task_runs import ACCOUNT, REGION, TEMPLATE


class Loops:
    """The async hook called like the sync one, each call in an event loop of its own."""

    def __getattr__(self, method: str) -> Any:
        return lambda *args, **kwargs: asyncio.run(self._call(method, *args, **kwargs))

    async def _call(self, method: str, *args: Any, **kwargs: Any) -> Any:
        hook = NotebookExecutionJobAsyncHook()
        try:
            answer = getattr(hook, method)(*args, **kwargs)
            return [item async for item in answer] if isinstance(answer, AsyncIterator) else await answer
        finally:
            await hook.close()


BOTH = pytest.mark.parametrize("hook", [NotebookExecutionJobHook, Loops], ids=["sync", "async"])


def make_job(hook: Any, project: str) -> str:
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
    return str(job_of_operation(hook().create_job(job, location=REGION).name))


def names(found: Iterable[Any]) -> set[str]:
    """Return the names of what a list has."""
    return {item.name for item in found}


@BOTH
def test_pages_are_read_though_nothing_else_holds_the_hook(nbjobs_emulator: Emulator, project: str, hook: Any) -> None:
    made = {make_job(hook, project) for _ in range(3)}
    assert names(hook().list_jobs(location=REGION, page_size=2)) == made
    assert nbjobs_emulator.requests()["list"] == {"200": 2}


@BOTH
def test_a_job_s_operations_are_listed_got_and_cancelled(nbjobs_emulator: Emulator, project: str, hook: Any) -> None:
    nbjobs_emulator.fault({"job_state": "JOB_STATE_RUNNING"})
    name = make_job(hook, project)
    (operation,) = hook().list_operations(name)
    assert str(job_of_operation(operation.name)) == name
    assert hook().get_operation(operation.name).done is False
    hook().cancel_operation(operation.name)
    assert nbjobs_emulator.requests()["cancel"] == {"200": 1}
    assert hook().get_job(name).job_state.word in {"CANCELLING", "CANCELLED"}


@BOTH
def test_a_job_is_deleted_if_it_is_there(nbjobs_emulator: Emulator, project: str, hook: Any) -> None:
    name = make_job(hook, project)
    assert hook().delete_job(name).name.startswith(f"{name.rpartition('/')[0]}/")
    with pytest.raises(NotFoundError):
        hook().delete_job(f"{name}9")
    assert nbjobs_emulator.requests()["delete"] == {"200": 1, "404": 1}


@BOTH
def test_a_job_is_created_with_the_given_id_and_project(nbjobs_emulator: Emulator, project: str, hook: Any) -> None:
    name = make_job(hook, project)
    job = hook().get_job(name)
    made = hook().create_job(job, location=REGION, project_id=f"{project}-2", job_id="mine")
    assert made.name.split("/")[5] == "mine"
    assert [job["id"] for job in nbjobs_emulator.book(f"{project}-2")] == ["mine"]


@BOTH
def test_a_job_with_something_wrong_is_not_sent(nbjobs_emulator: Emulator, project: str, hook: Any) -> None:
    job = hook().get_job(make_job(hook, project))
    with pytest.raises(InvalidNotebookJobError, match="service_account='nobody' is not an e-mail address"):
        hook().create_job(replace(job, service_account="nobody"), location=REGION)
    assert nbjobs_emulator.requests()["create"] == {"200": 1}

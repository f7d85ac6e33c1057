"""Google's own client drives the service through the contract."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from google.api_core import exceptions
from google.cloud import aiplatform_v1

from tests.contract.google_client import GoogleClient
from tests.contract.scenarios import ENDLESS, AskingScenarios, RunningScenarios, running

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.contract.world import World


@pytest.fixture
def client(world: World) -> Iterator[GoogleClient]:
    client = GoogleClient(world.endpoint, world.credentials)
    yield client
    client.close()


class TestGoogleClientRuns(RunningScenarios):
    """The scenarios that every client runs."""


class TestGoogleClientAsks(AskingScenarios):
    """And those without a kernel."""


def test_its_pager_turns_all_pages(client, world, make):
    made = [make(str(number)) for number in range(3)]
    request = {"parent": world.parent, "filter": f'displayName=~"{world.prefix}-.*"', "page_size": 1}
    pager = client.client.list_notebook_execution_jobs(request)
    assert [job.name for job in pager] == made[::-1]


def test_its_future_of_a_create_gives_the_job(client, world):
    operation = client.client.create_notebook_execution_job(
        parent=world.parent,
        notebook_execution_job=aiplatform_v1.NotebookExecutionJob.from_json(json.dumps(world.job())),
    )
    job = operation.result(timeout=world.seconds)
    assert job.job_state == aiplatform_v1.JobState.JOB_STATE_SUCCEEDED
    assert client.client.delete_notebook_execution_job(name=job.name).result(timeout=world.seconds) is not None


def test_its_future_of_a_cancelled_job_says_so(client, world, make):
    name = make(code=ENDLESS)
    running(client, world, name)
    (operation,) = client.list_operations(name)
    client.cancel_operation(operation["name"])
    world.until(lambda: client.get_operation(operation["name"]), lambda seen: seen.get("done"))
    assert client.get(name)["jobState"] == "JOB_STATE_CANCELLED"


def test_its_errors_have_types(client, world, make):
    api = client.client
    make(job_id=world.prefix)
    with pytest.raises(exceptions.NotFound):
        api.get_notebook_execution_job(name=f"{world.parent}/notebookExecutionJobs/1")
    with pytest.raises(exceptions.Conflict):
        api.create_notebook_execution_job(
            {
                "parent": world.parent,
                "notebook_execution_job": aiplatform_v1.NotebookExecutionJob.from_json(json.dumps(world.job())),
                "notebook_execution_job_id": world.prefix,
            }
        )
    with pytest.raises(exceptions.BadRequest, match="page_size"):
        api.list_notebook_execution_jobs({"parent": world.parent, "page_size": 101})

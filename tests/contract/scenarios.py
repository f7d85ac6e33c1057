"""What every client must find, whatever serves it: one class of scenarios, run once for each client.

Those whose names are in ``docs/assumptions.md`` answer a question that only the real service can.
"""

from __future__ import annotations

import base64
import json
import re
from typing import TYPE_CHECKING, Any

import pytest

from tests.contract.contract_client import ContractClient, ServiceError

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_nbjobs.emulator import Emulator
    from tests.contract.world import World

ENDED = {
    "JOB_STATE_SUCCEEDED",
    "JOB_STATE_FAILED",
    "JOB_STATE_CANCELLED",
    "JOB_STATE_EXPIRED",
    "JOB_STATE_PARTIALLY_SUCCEEDED",
}
FULL = "NOTEBOOK_EXECUTION_JOB_VIEW_FULL"
ENDLESS = "import time\nwhile True: time.sleep(1)"
_CELL = {"cell_type": "code", "metadata": {}, "source": "print(42)", "outputs": [], "execution_count": None}
_NOTEBOOK = {"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": [{**_CELL, "id": "a"}]}
# nbclient and papermill run all of these, though none of them matches nbformat's schema.
ODD_NOTEBOOKS = {
    "an id before 4.5": json.dumps({**_NOTEBOOK, "nbformat_minor": 2}).encode(),
    "a null id": json.dumps({**_NOTEBOOK, "cells": [{**_CELL, "id": None}]}).encode(),
    "an id with other characters": json.dumps({**_NOTEBOOK, "cells": [{**_CELL, "id": "a b"}]}).encode(),
    "null metadata": json.dumps({**_NOTEBOOK, "metadata": None}).encode(),
    "a text as tags": json.dumps({**_NOTEBOOK, "cells": [{**_CELL, "metadata": {"tags": "a"}}]}).encode(),
    "a byte order mark": json.dumps(_NOTEBOOK).encode("utf-8-sig"),
    "UTF-16": json.dumps(_NOTEBOOK).encode("utf-16"),
}


def ended(client: ContractClient, world: World, name: str) -> dict[str, Any]:
    return world.until(lambda: client.get(name), lambda job: job["jobState"] in ENDED)


def running(client: ContractClient, world: World, name: str) -> dict[str, Any]:
    return world.until(lambda: client.get(name), lambda job: job["jobState"] == "JOB_STATE_RUNNING")


def done(client: ContractClient, world: World, name: str) -> dict[str, Any]:
    return world.until(lambda: client.get_operation(name), lambda operation: operation.get("done"))


def refused(code: str, call: Callable[[], object]) -> str:
    with pytest.raises(ServiceError) as caught:
        call()
    assert caught.value.code == code, caught.value
    return caught.value.message


def names(page: dict[str, Any]) -> list[str]:
    return [job["name"] for job in page.get("notebookExecutionJobs", [])]


class LifeScenarios:
    """A job from its create to its end."""

    def test_a_notebook_runs_and_its_executed_copy_is_stored(self, client, world, make):
        name = make()
        job = ended(client, world, name)
        assert job["jobState"] == "JOB_STATE_SUCCEEDED", job
        uri = f"{job['gcsOutputUri']}/{name.rpartition('/')[2]}/content.ipynb"
        executed = json.loads(world.read(uri))
        assert "".join(executed["cells"][0]["outputs"][0]["text"]) == "42\n"

    def test_operation_and_job_names_have_the_project_number(self, client, world):
        operation = client.create(world.parent, world.job())
        pattern = rf"(projects/\d+/locations/{world.location}/notebookExecutionJobs/\d{{15,20}})/operations/\d+"
        match = re.fullmatch(pattern, operation["name"])
        assert match, operation
        assert client.get(match[1])["name"] == match[1]
        client.delete(match[1])

    def test_the_projects_id_and_its_number_name_the_same_job(self, client, world, make):
        name = make()
        by_id = f"{world.parent}/notebookExecutionJobs/{name.rpartition('/')[2]}"
        assert client.get(by_id)["name"] == name

    def test_time_moves_with_each_change_of_a_job(self, client, world, make):
        name = make()
        first = client.get(name)
        last = ended(client, world, name)
        assert last["createTime"] == first["createTime"]
        assert last["updateTime"] > first["createTime"]

    def test_the_create_operation_ends_after_its_job_and_carries_it(self, client, world, make):
        name = make()
        ended(client, world, name)
        (operation,) = client.list_operations(name)
        final = done(client, world, operation["name"])
        assert final["response"]["name"] == name
        assert final["metadata"]["@type"].endswith("CreateNotebookExecutionJobOperationMetadata")

    def test_a_cell_that_raises_fails_the_job_only(self, client, world, make):
        name = make(code="1 / 0")
        job = ended(client, world, name)
        assert job["jobState"] == "JOB_STATE_FAILED"
        assert job["status"]["message"]
        executed = json.loads(world.read(f"{job['gcsOutputUri']}/{name.rpartition('/')[2]}/content.ipynb"))
        assert executed["cells"][0]["outputs"][-1]["ename"] == "ZeroDivisionError"
        (operation,) = client.list_operations(name)
        final = done(client, world, operation["name"])
        assert final["response"]["jobState"] == "JOB_STATE_FAILED"

    @pytest.mark.parametrize("odd", ODD_NOTEBOOKS.values(), ids=ODD_NOTEBOOKS.keys())
    def test_a_notebook_that_does_not_match_the_schema_runs(self, client, world, make, odd):
        job = ended(client, world, make(directNotebookSource={"content": base64.b64encode(odd).decode()}))
        assert job["jobState"] == "JOB_STATE_SUCCEEDED", job

    def test_sys_exit_without_an_error_fails_the_job(self, client, world, make):
        job = ended(client, world, make(code="import sys\nsys.exit(0)"))
        assert job["jobState"] == "JOB_STATE_FAILED"

    def test_a_job_over_its_time_fails(self, client, world, make):
        job = ended(client, world, make(code=ENDLESS, executionTimeout="3s"))
        assert job["jobState"] == "JOB_STATE_FAILED"
        assert job["executionTimeout"] == "3s"

    def test_what_was_sent_is_what_is_kept(self, client, world, make):
        sent = {"labels": {"team": "a-b_c", "empty": ""}, "executionTimeout": "3600.500s"}
        job = client.get(make(**sent))
        assert {key: job[key] for key in sent} == sent
        assert job["serviceAccount"] == world.identity["serviceAccount"]

    def test_only_the_full_view_has_the_notebook(self, client, world, make):
        name = make()
        assert "content" not in client.get(name).get("directNotebookSource", {})
        assert client.get(name, FULL)["directNotebookSource"] == world.job()["directNotebookSource"]

    def test_cancelling_the_create_operation_cancels_the_job(self, client, world, make):
        name = make(code=ENDLESS)
        running(client, world, name)
        (operation,) = client.list_operations(name)
        client.cancel_operation(operation["name"])
        assert ended(client, world, name)["jobState"] == "JOB_STATE_CANCELLED"
        assert done(client, world, operation["name"])["error"]["code"] == 1

    def test_deleting_a_running_job_takes_it_away(self, client, world, make):
        name = make(code=ENDLESS)
        running(client, world, name)
        done(client, world, client.delete(name)["name"])
        refused("NOT_FOUND", lambda: client.get(name))

    def test_a_deleted_job_is_gone(self, client, world, make):
        name = make()
        ended(client, world, name)
        operation = client.delete(name)
        assert operation["metadata"]["@type"].endswith("DeleteOperationMetadata")
        assert done(client, world, operation["name"])["response"]["@type"].endswith("google.protobuf.Empty")
        refused("NOT_FOUND", lambda: client.get(name))
        assert names(client.list(world.parent, where=f'displayName="{world.prefix}-"')) == []


class OwnIdScenarios:
    """Ids that the user chose."""

    def test_an_own_id_is_the_id_of_the_job(self, client, world, make):
        job_id = world.prefix
        name = make(job_id=job_id)
        assert name.endswith(f"/notebookExecutionJobs/{job_id}")
        assert ended(client, world, name)["jobState"] == "JOB_STATE_SUCCEEDED"

    def test_an_id_that_is_taken_already_exists(self, client, world, make):
        make(job_id=world.prefix)
        refused("ALREADY_EXISTS", lambda: client.create(world.parent, world.job(), world.prefix))

    @pytest.mark.parametrize("job_id", ["Capital", "-dash", "dot.ted", "x" * 64])
    def test_an_id_with_other_letters_is_refused(self, client, world, job_id):
        refused("INVALID_ARGUMENT", lambda: client.create(world.parent, world.job(), job_id))


class ListScenarios:
    """Filters, orders and pages."""

    @pytest.fixture
    def three(self, world, make) -> list[str]:
        return [make(name) for name in ("b", "c", "a")]

    @pytest.mark.parametrize(
        ("text", "found"),
        [
            ('displayName="{p}-a"', "a"),
            ('display_name = "{p}-a"', "a"),
            ("displayName={p}-a", "a"),
            ('displayName=~"{p}-.*" AND displayName!="{p}-a"', "bc"),
            ('displayName=~"{p}-.*" displayName!="{p}-a"', "bc"),
            ('displayName=~"{p}-(a|b)"', "ab"),
            ('displayName=~".*{q}-[bc]"', "bc"),
            ('display_name=~"{p}-.*" AND display_name=~".*-c"', "c"),
            ('displayName="{p}-d"', ""),
            ('notebookExecutionJob="{id}"', "b"),
            ("notebook_execution_job={id}", "b"),
            ('displayName=~"{p}-.*" AND notebookExecutionJob!="{id}"', "ac"),
            ('displayName=~"{p}-.*" AND schedule="none"', ""),
        ],
    )
    def test_a_filter_finds_the_jobs_it_describes(self, client, world, three, text, found):
        job_id = three[0].rpartition("/")[2]
        text = text.format(p=world.prefix, q=world.prefix[-6:], id=job_id)
        jobs = client.list(world.parent, where=text).get("notebookExecutionJobs", [])
        assert sorted(job["displayName"][-1] for job in jobs) == list(found)

    def test_a_regex_must_match_the_whole_name(self, client, world, three):
        assert names(client.list(world.parent, where=f'displayName=~"{world.prefix}"')) == []

    @pytest.mark.parametrize("field", ["schedule", "scheduleResourceName", "schedule_resource_name"])
    def test_a_schedules_jobs_are_found_by_its_name(self, client, world, make, field):
        schedule = f"{world.parent}/schedules/1234567890"
        name = make(scheduleResourceName=schedule)
        text = f'{field}="{schedule}" AND displayName="{world.prefix}-"'
        assert names(client.list(world.parent, where=text)) == [name]

    def test_a_schedules_jobs_are_found_by_its_short_id(self, client, world, make):
        name = make(scheduleResourceName=f"{world.parent}/schedules/1234567891")
        text = f'schedule=1234567891 AND displayName="{world.prefix}-"'
        assert names(client.list(world.parent, where=text)) == [name]

    @pytest.mark.parametrize(
        "text",
        [
            'jobState="JOB_STATE_RUNNING"',
            'createTime>"2026-01-01T00:00:00Z"',
            'labels.team="a"',
            'displayName>"a"',
            'notebookExecutionJob=~"1.*"',
            'displayName="a',
            "displayName",
            'displayName="a" AND',
            'displayName=~"("',
        ],
    )
    def test_a_filter_beyond_the_documented_ones_is_refused(self, client, world, text):
        refused("INVALID_ARGUMENT", lambda: client.list(world.parent, where=text))

    @pytest.mark.parametrize(
        ("order", "found"),
        [
            ("display_name", "abc"),
            ("display_name desc", "cba"),
            ("create_time", "bca"),
            ("create_time desc", "acb"),
            ("createTime desc", "acb"),
            ("display_name desc, create_time", "cba"),
            ("", "acb"),
        ],
    )
    def test_jobs_come_in_the_order_asked_for(self, client, world, three, order, found):
        page = client.list(world.parent, where=f'displayName=~"{world.prefix}-.*"', order_by=order)
        assert "".join(job["displayName"][-1] for job in page["notebookExecutionJobs"]) == found

    def test_update_time_desc_lists_the_last_changed_job_first(self, client, world, three):
        for name in three:
            ended(client, world, name)
        page = client.list(world.parent, where=f'displayName=~"{world.prefix}-.*"', order_by="update_time desc")
        times = [job["updateTime"] for job in page["notebookExecutionJobs"]]
        assert times == sorted(times, reverse=True)

    @pytest.mark.parametrize("order", ["job_state", "display_name up", "display_name,,create_time"])
    def test_an_order_beyond_the_documented_ones_is_refused(self, client, world, order):
        refused("INVALID_ARGUMENT", lambda: client.list(world.parent, order_by=order))

    def test_pages_show_each_job_once_while_jobs_are_added(self, client, world, make):
        made = [make(str(number)) for number in range(5)]
        wanted = {"where": f'displayName=~"{world.prefix}-.*"', "order_by": "create_time desc", "page_size": 2}
        first = client.list(world.parent, **wanted)
        make("late")
        second = client.list(world.parent, **wanted, page_token=first["nextPageToken"])
        third = client.list(world.parent, **wanted, page_token=second["nextPageToken"])
        assert [names(page) for page in (first, second, third)] == [made[4:2:-1], made[2:0:-1], made[:1]]
        assert "nextPageToken" not in third

    def test_a_page_token_is_good_for_its_own_list_only(self, client, world, make):
        make("a")
        make("b")
        text = f'displayName=~"{world.prefix}-.*"'
        token = client.list(world.parent, where=text, page_size=1)["nextPageToken"]
        refused("INVALID_ARGUMENT", lambda: client.list(world.parent, page_size=1, page_token=token))

    @pytest.mark.parametrize("token", ["nonsense", "bm9uZQ", "!"])
    def test_a_made_up_page_token_is_refused(self, client, world, token):
        refused("INVALID_ARGUMENT", lambda: client.list(world.parent, page_token=token))

    @pytest.mark.parametrize("size", [101, -1])
    def test_a_page_has_at_most_100_jobs(self, client, world, size):
        refused("INVALID_ARGUMENT", lambda: client.list(world.parent, page_size=size))


class RefusalScenarios:
    """What is refused, and how."""

    def test_a_job_that_never_was_is_not_found(self, client, world):
        name = f"{world.parent}/notebookExecutionJobs/1"
        refused("NOT_FOUND", lambda: client.get(name))
        refused("NOT_FOUND", lambda: client.delete(name))

    def test_an_operation_that_never_was_is_not_found(self, client, world, make):
        refused("NOT_FOUND", lambda: client.get_operation(f"{make()}/operations/1"))

    @pytest.mark.parametrize(
        ("field", "value"),
        [
            ("displayName", None),
            ("displayName", "x" * 129),
            ("directNotebookSource", None),
            ("directNotebookSource", {}),
            ("gcsOutputUri", None),
            ("gcsOutputUri", "s3://bucket"),
            ("serviceAccount", None),
            ("executionTimeout", "0s"),
            ("labels", {"Team": "a"}),
            ("labels", {"team": "a b"}),
            ("scheduleResourceName", "schedules/1"),
        ],
    )
    def test_a_job_with_a_bad_field_is_refused(self, client, world, field, value):
        job = world.job(**{field: value})
        refused("INVALID_ARGUMENT", lambda: client.create(world.parent, job))

    def test_an_empty_job_is_refused_as_invalid(self, client, world):
        refused("INVALID_ARGUMENT", lambda: client.create(world.parent, {}))

    @pytest.mark.parametrize("uri", ["gs://bucket", "gs://bucket/", "bucket/x.ipynb"])
    def test_a_notebook_that_is_no_object_is_refused(self, client, world, uri):
        job = world.job(directNotebookSource=None, gcsNotebookSource={"uri": uri})
        refused("INVALID_ARGUMENT", lambda: client.create(world.parent, job))

    def test_a_job_without_an_environment_is_refused(self, client, world):
        job = {key: value for key, value in world.job().items() if key not in world.environment}
        refused("INVALID_ARGUMENT", lambda: client.create(world.parent, job))

    def test_a_template_of_another_region_is_refused(self, client, world):
        template = f"projects/{world.project}/locations/mars-north1/notebookRuntimeTemplates/1"
        job = world.job(customEnvironmentSpec=None, notebookRuntimeTemplateResourceName=template)
        refused("INVALID_ARGUMENT", lambda: client.create(world.parent, job))


class RunningScenarios(LifeScenarios, OwnIdScenarios):
    """Those in which notebooks run. A subclass gives a fixture ``client``, a ``ContractClient`` for the ``world``."""


class AskingScenarios(ListScenarios, RefusalScenarios):
    """The others, for which the emulator need not start hundreds of kernels."""

    @pytest.fixture
    def nbjobs_emulator_session(self, simulation: Emulator) -> Emulator:
        """Give the ``world`` an emulator whose jobs run in name only."""
        return simulation

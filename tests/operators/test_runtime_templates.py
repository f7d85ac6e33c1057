"""Operators of runtime templates: create, get, list, delete."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_nbjobs.exceptions import AlreadyExistsError, InvalidNotebookJobError, NotFoundError
from airflow_nbjobs.operators import (
    CreateNotebookRuntimeTemplateOperator,
    DeleteNotebookRuntimeTemplateOperator,
    GetNotebookRuntimeTemplateOperator,
    ListNotebookRuntimeTemplatesOperator,
)
from tests.support.cloud import Cloud
from tests.support.task_runs import REGION, TaskRun

MACHINE = {"machineSpec": {"machineType": "e2-standard-4"}}


def run(make: Any, **arguments: Any) -> Any:
    """Run a task."""
    return TaskRun(lambda: make(task_id="task", **{"location": REGION, **arguments})).execute()


def create(**arguments: Any) -> dict[str, Any]:
    """Create a template."""
    known = {"display_name": "small", "template": MACHINE, "poll_interval": 0.1, **arguments}
    return dict(run(CreateNotebookRuntimeTemplateOperator, **known))


def test_a_template_is_created_read_and_deleted(cloud: Cloud) -> None:
    made = create(template={**MACHINE, "labels": {"team": "{{ 'a' }}"}})
    assert (made["displayName"], made["labels"]) == ("small", {"team": "a"})
    assert made["machineSpec"] == MACHINE["machineSpec"]
    assert made["eucConfig"] == {"eucDisabled": True}  # notebooks run as service accounts
    assert run(GetNotebookRuntimeTemplateOperator, runtime_template=made) == made
    delete = {"runtime_template": made["name"].rpartition("/")[2], "poll_interval": 0.1}
    deleted = run(DeleteNotebookRuntimeTemplateOperator, **delete)
    assert deleted.split("/")[2:] == made["name"].split("/")[2:]  # it says the project's id or number as it was told
    with pytest.raises(NotFoundError, match="does not exist"):
        run(DeleteNotebookRuntimeTemplateOperator, **delete)
    assert run(DeleteNotebookRuntimeTemplateOperator, **delete, ignore_if_missing=True) is None
    with pytest.raises(NotFoundError, match="NBJOBS_EMULATOR_HOST"):
        run(GetNotebookRuntimeTemplateOperator, runtime_template=made)


def test_a_template_that_exists_is_left_as_it_is(cloud: Cloud) -> None:
    made = create(template_id="mine")
    assert made["name"].endswith("/notebookRuntimeTemplates/mine")
    assert create(template_id="mine", display_name="other") == made
    with pytest.raises(AlreadyExistsError, match="mine already exists"):
        create(template_id="mine", ignore_if_exists=False)
    run(DeleteNotebookRuntimeTemplateOperator, runtime_template=made, poll_interval=0.1)
    with pytest.raises(InvalidNotebookJobError, match="'mine' was of a template that is deleted, and stays taken"):
        create(template_id="mine")


def test_a_list_is_filtered_ordered_and_limited(cloud: Cloud) -> None:
    for name in "bac":
        create(display_name=name, template={"labels": {"name": name}})
    assert [each["displayName"] for each in run(ListNotebookRuntimeTemplatesOperator)] == ["c", "a", "b"]
    some = run(ListNotebookRuntimeTemplatesOperator, filter="labels.name=a")
    assert [each["displayName"] for each in some] == ["a"]
    first = run(ListNotebookRuntimeTemplatesOperator, order_by="display_name", limit=1)
    assert [each["displayName"] for each in first] == ["a"]


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ({"display_name": ""}, "display_name='' has 0 characters"),
        ({"display_name": "x" * 129}, "has 129 characters: give 1 to 128 characters"),
        ({"template": "e2-standard-4"}, "template='e2-standard-4' is not a dict of fields"),
        ({"template": {"displayName": "x"}}, r"template contains \['displayName'\]"),
        ({"poll_interval": 0}, "poll_interval=0"),
    ],
)
def test_a_template_that_cannot_be_created_is_not_sent(cloud: Cloud, arguments: Any, problem: str) -> None:
    with pytest.raises(InvalidNotebookJobError, match=problem):
        create(**arguments)
    assert "create_template" not in cloud.requests()


def test_a_field_that_is_not_known_is_refused_with_the_services_words(cloud: Cloud) -> None:
    with pytest.raises(Exception, match='Unknown name "machineType"'):
        create(template={"machineType": "e2-standard-4"})

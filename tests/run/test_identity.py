"""Key, labels and display name: a user's names cannot change where requests go or what they filter by."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from airflow_nbjobs.api.calls import Call, Page
from airflow_nbjobs.api.checks import check
from airflow_nbjobs.exceptions import InvalidNotebookJobError
from airflow_nbjobs.run.find import find_submitted
from airflow_nbjobs.run.identity import RESERVED_PREFIX, cost_labels, identify
from airflow_nbjobs.run.submit import Request, submit
from airflow_nbjobs.run.task import TaskContext
from tests.support.asking import TASK, wanted_job
from tests.support.papers import task

PARENT = "projects/p/locations/us-central1"
PATH = f"/v1/{PARENT}/notebookExecutionJobs"
HOST = "us-central1-aiplatform.googleapis.com"
CLIENT = httpx.Client(base_url=f"https://{HOST}")  # it builds requests, and sends none
NASTY = [
    '" OR displayName=~"', '"', "\\", "-", "/../../..", "?filter=", "&filter=", "#", "@evil.example", "//evil.example",
    "\r\nHost: evil.example", ".*", "%22", "%2F..%2F", "{location}", "\ud800", "\0", "\u202e",
]  # fmt: skip
REGION = uuid.UUID("01a22fb9-f3c4-7f90-8f55-700d2a87993a")
texts = st.text(min_size=1, max_size=128) | st.sampled_from(NASTY)
labels = st.dictionaries(texts.filter(lambda key: not key.startswith(RESERVED_PREFIX)), texts, max_size=3)


def asked_for(flow: Any) -> Iterator[tuple[str, httpx.URL]]:
    """Return verb and address of each request that a flow makes, when each list shows nothing."""
    step = next(flow)
    while True:
        if isinstance(step, Call):
            yield step.verb, CLIENT.build_request(step.verb, step.path, params=dict(step.query)).url
            if step.verb != "GET":
                return
        try:
            step = flow.send(Page([], "") if isinstance(step, Call) else None)
        except StopIteration:
            return


@given(display_name=texts, own_labels=labels, dag_id=texts, run_id=texts)
@example(display_name='x" OR displayName=~".*', own_labels={" nbjobs-run": '"'}, dag_id="/..", run_id="?filter=")
def test_no_name_or_label_changes_host_path_or_filter(
    display_name: str, own_labels: dict[str, str], dag_id: str, run_id: str
) -> None:
    retry = replace(TASK, dag_id=dag_id, run_id=run_id, try_number=2)
    job = identify(replace(wanted_job(), display_name=display_name, labels=own_labels), retry, "0" * 32)
    listed = {"filter": f'displayName=~".*-{retry.key}"', "orderBy": "create_time desc", "pageSize": "100"}
    requests = [
        *asked_for(submit(Request(parent=PARENT, job=job, task=retry, kill="cancel"))),
        *asked_for(find_submitted(PARENT, job)),
    ]
    assert [verb for verb, _ in requests] == [*["GET"] * 2, "POST", "GET"]
    for verb, url in requests:
        assert (url.scheme, url.host, url.port, url.path, url.fragment) == ("https", HOST, None, PATH, "")
        assert dict(url.params) == (listed if verb == "GET" else {})
    assert set(retry.key) <= set("0123456789abcdef")
    assert json.loads(json.dumps(job.to_request()))["labels"].items() >= own_labels.items()


@given(dag_id=texts, task_id=texts, run_id=texts)
@example(dag_id="İ" * 100, task_id="ß" * 64, run_id="scheduled__2026-11-22T00:00:00+00:00")
def test_cost_labels_are_valid_in_all_of_google_cloud(dag_id: str, task_id: str, run_id: str) -> None:
    labels = cost_labels(replace(TASK, dag_id=dag_id, task_id=task_id, run_id=run_id))
    assert list(labels) == ["airflow-dag", "airflow-task", "airflow-run"]
    assert max(map(len, labels.values())) <= 63
    check(replace(wanted_job(), display_name="report", labels=labels))


def test_long_ids_with_the_same_beginning_have_different_cost_labels() -> None:
    ids = ["x" * 63, "x" * 64, f"{'x' * 63}y"]
    values = [cost_labels(replace(TASK, dag_id=dag_id))["airflow-dag"] for dag_id in ids]
    assert values[0] == ids[0]
    assert len({value[:54] for value in values}) == 1
    assert len(set(values)) == 3


def test_cost_labels_yield_to_the_users_own_and_never_take_ours() -> None:
    job = identify(replace(wanted_job(), labels={"airflow-dag": "mine"}), TASK, "0" * 32, has_cost_labels=True)
    assert (job.labels["airflow-dag"], job.labels["airflow-task"]) == ("mine", TASK.task_id)
    assert not any(key.startswith(RESERVED_PREFIX) for key in cost_labels(TASK))


def test_too_many_labels_count_the_cost_labels() -> None:
    job = replace(wanted_job(), labels={f"label-{number}": "x" for number in range(53)})
    assert len(identify(job, TASK, "0" * 32).labels) <= 64
    with pytest.raises(InvalidNotebookJobError, match=r"has 53 labels, and 52 are allowed.* Remove 1"):
        identify(job, TASK, "0" * 32, has_cost_labels=True)


@pytest.mark.parametrize(("map_index", "key"), [(-1, "67640cdd6178b109"), (3, "2c59b22fc1699a00")])
def test_the_key_never_changes(map_index: int, key: str) -> None:
    """Jobs that run are found by it after an upgrade."""
    assert replace(TASK, map_index=map_index).key == key


def test_airflow_gives_tasks_outside_of_loops_no_iteration() -> None:
    """A mapped task has a region too on Airflow 3.4."""
    run = task(ti={"map_index": 3, "region_id": REGION})
    assert TaskContext.of(run.context).identity.iteration is None


def test_iterations_have_keys_of_their_own() -> None:
    places = [(REGION, 0), (REGION, 1), (uuid.uuid4(), 1)]  # a clear replaces later iterations in another region
    runs = [task(more_context={"loop": SimpleNamespace(index=n)}, ti={"region_id": region}) for region, n in places]
    keys = [TaskContext.of(run.context).identity.key for run in runs]
    assert len({*keys, TaskContext.of(task().context).identity.key}) == 4

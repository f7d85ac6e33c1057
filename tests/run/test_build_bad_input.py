"""A request that is known to be wrong is refused with the argument, its value and the remedy, and nothing is sent."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import DAG, AirflowFailException

from airflow_nbjobs.exceptions import InvalidNotebookJobError
from airflow_nbjobs.operators import (
    CreateNotebookExecutionJobOperator,
    DeleteNotebookExecutionJobOperator,
    GetNotebookExecutionJobOperator,
    ListNotebookExecutionJobsOperator,
)
from airflow_nbjobs.run.sources import InlineNotebook, source_fields
from airflow_nbjobs.sensors import NotebookExecutionJobSensor
from tests.support.cloud import Cloud
from tests.support.google_lookalike import Server
from tests.support.task_runs import JOB, NOTEBOOK, TaskRun, create

ELSEWHERE = "projects/p/locations/europe-west1/notebookRuntimeTemplates/1"
JOB_NAME = "projects/p/locations/us-central1/notebookExecutionJobs/1"

# What is given instead of a job that lacks nothing, and the words that the error must have: argument, value, remedy.
WRONG: dict[str, tuple[dict[str, Any], list[str]]] = {
    "no notebook": ({"notebook": None}, ["notebook=None", "gs://bucket/notebook.ipynb"]),
    "an empty notebook": ({"notebook": "  "}, ["notebook='  '", "gs://"]),
    "a number": ({"notebook": 7}, ["notebook=7", "gs://"]),
    "a missing file": ({"notebook": "nowhere.ipynb"}, ["notebook='nowhere.ipynb'", "was not found", "/nowhere", "'gs://"]),
    "a file that cannot be": ({"notebook": "a\0.ipynb"}, ["notebook='a\\x00.ipynb' was not found", "/nowhere"]),
    "a path without end": ({"notebook": "a/" * 5_000}, ["was not found", "/nowhere"]),
    "a dict that is not a notebook": ({"notebook": {"cells": []}}, ["notebook given as a dict", "nbformat is None"]),
    "an unknown nbformat": ({"notebook": {**NOTEBOOK, "nbformat": 9}}, ["nbformat is 9", "3 and 4"]),
    "a broken notebook": ({"notebook": {**NOTEBOOK, "cells": "none"}}, ["not a valid notebook"]),
    "a notebook that is not JSON": ({"notebook": {**NOTEBOOK, "metadata": {"x": {1}}}}, ["is not JSON"]),
    "another store": ({"notebook": "s3://bucket/x.ipynb"}, ["notebook='s3://bucket/x.ipynb'", "gs://"]),
    "no object": ({"notebook": "gs://bucket"}, ["notebook='gs://bucket'", "gs://bucket/folder/notebook.ipynb"]),
    "a folder": ({"notebook": "gs://bucket/a/"}, ["notebook='gs://bucket/a/'", "names no object"]),
    "an invalid generation": (
        {"notebook": "gs://bucket/a.ipynb#abc"},
        ["notebook='gs://bucket/a.ipynb#abc'", "no generation", "#1700000000000000"],
    ),
    "a generation that is empty": ({"notebook": "gs://bucket/a.ipynb#"}, ["no generation"]),
    "no repository": (
        {"notebook": "projects/p/locations/l/repository/r"},
        ["was not found", "'projects/p/locations/l/repositories/r'"],
    ),
    "no bucket": ({"notebook": "gs:///a.ipynb"}, ["notebook='gs:///a.ipynb'"]),
    "an invalid commit": ({"notebook": "projects/p/locations/l/repositories/r@main"}, ["'main'", "SHA"]),
    "two environments": (
        {"custom_environment_spec": {"machineSpec": {}}},
        ["runtime_template='1234'", "custom_environment_spec={", "give one of them"],
    ),
    "no environment": ({"runtime_template": None}, ["no environment", "runtime_template or custom_environment_spec"]),
    "an environment that is not a dict": (
        {"runtime_template": None, "custom_environment_spec": "e2"},
        ["custom_environment_spec='e2'", "dict"],
    ),
    "a template of another location": ({"runtime_template": ELSEWHERE}, [ELSEWHERE, "'us-central1'", "one location"]),
    "an invalid template": ({"runtime_template": "a/b"}, ["runtime_template='a/b'", "give its id"]),
    "two identities": (
        {"execution_user": "ada@example.com"},
        ["service_account='runner@", "execution_user='ada@example.com'", "give one of them"],
    ),
    "an invalid identity": ({"service_account": "runner"}, ["service_account='runner'", "e-mail"]),
    "no output": ({"gcs_output_uri": None}, ["gcs_output_uri=None", "gs://bucket/folder"]),
    "an output that is not a bucket": ({"gcs_output_uri": "/results"}, ["gcs_output_uri='/results'", "gs://bucket"]),
    "no location": ({"location": None}, ["location is missing", "us-central1"]),
    "an empty location": ({"location": ""}, ["location is missing", "us-central1"]),
    "a location in capitals": ({"location": "US-central1"}, ["location='US-central1'", "lower-case"]),
    "a location that is another host": ({"location": "evil.example.com/"}, ["location='evil.example.com/'"]),
    "a location with a line break": ({"location": "us\ncentral1"}, ["location='us\\ncentral1'"]),
    "an invalid project": ({"project_id": "a/b"}, ["project_id='a/b'", "my-project"]),
    "a label in capitals": ({"labels": {"Team": "a"}}, ["'Team'", "lower-case", "sanitize_labels=True"]),
    "a label with a space": ({"labels": {"team": "a b"}}, ["'a b'", "'team'", "sanitize_labels=True"]),
    "a long label": ({"labels": {"team": "x" * 65}}, ["x" * 65, "at most 64"]),
    "too many labels": ({"labels": {f"k{i}": "" for i in range(56)}}, ["56 labels", "allows 64", "Remove 1"]),
    "a label that is a float": ({"labels": {"team": 1.1}}, ["labels['team']=1.1", "give it as text"]),
    "labels that are not a dict": ({"labels": "team"}, ["labels='team'", "dict"]),
    "a label that may be reserved later": ({"labels": {"nbjobs-x": "1"}}, ["nbjobs-x", "reserved", "Use other keys"]),
    "a reserved label": ({"labels": {"nbjobs-try": "1"}}, ["nbjobs-try", "reserved", "Use other keys"]),
    "a long display name": ({"display_name": "n" * 129}, ["display_name='nnn", "129 characters", "1 to 128"]),
    "an empty display name": ({"display_name": ""}, ["display_name=''", "1 to 128"]),
    "a negative timeout": ({"job_timeout": -5}, ["job_timeout=-5", "more than 0"]),
    "a negative timedelta": ({"job_timeout": timedelta(seconds=-5)}, ["job_timeout=-5.0", "more than 0"]),
    "a negative execution_timeout": (
        {"execution_timeout": timedelta(seconds=-5)},
        ["execution_timeout=datetime.timedelta(days=-1, seconds=86395)", "more than 0"],
    ),
    "an invalid timeout": ({"job_timeout": "soon"}, ["job_timeout='soon'", "seconds"]),
    "a poll interval of nothing": ({"poll_interval": 0}, ["poll_interval=0", "more than 0"]),
    "an invalid policy": ({"kill": "pause"}, ["kill='pause'", "'cancel', 'delete' or 'leave'"]),
    "a body that is not a dict": ({"job_body": "x"}, ["job_body='x'", "dict"]),
    "a user in a Workbench": (
        {"service_account": None, "execution_user": "ada@example.com", "workbench_runtime": {}},
        ["execution_user='ada@example.com'", "service_account"],
    ),
    "a fallback that is not a list": (
        {"fallback_runtime_templates": "5678"},
        ["fallback_runtime_templates='5678'", "list"],
    ),
    "a fallback that is not a template": (
        {"fallback_runtime_templates": ["5678", "a/b"]},
        ["fallback_runtime_templates=['5678', 'a/b']", "runtime_template='a/b'"],
    ),
    "a fallback for no template": (
        {"runtime_template": None, "custom_environment_spec": {}, "fallback_runtime_templates": ["5678"]},
        ["fallback_runtime_templates=['5678']", "runtime_template"],
    ),
    "retries that are not a number": ({"capacity_retries": "many"}, ["capacity_retries='many'", "0 or more"]),
    "fewer than no retries": ({"capacity_retries": -1}, ["capacity_retries=-1", "0 or more"]),
    "one id for several jobs": (
        {"job_id": "mine", "capacity_retries": 1},
        ["job_id='mine'", "capacity_retries", "deterministic_job_id=True"],
    ),
    "one id for several templates": (
        {"job_id": "mine", "fallback_runtime_templates": ["5678"]},
        ["job_id='mine'", "fallback_runtime_templates", "capacity_retries=0"],
    ),
    "an account that is a number": ({"service_account": 7}, ["service_account='7'"]),
    "a display name that is a number": ({"display_name": 7.5}, ["display_name=7.5"]),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_argument_is_named_with_value_and_remedy(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch, case: str
) -> None:
    monkeypatch.setenv("GOOGLE_CLOUD_PROJECT", "p")
    changed, words = WRONG[case]
    with pytest.raises(InvalidNotebookJobError) as refusal:
        create(**changed).execute()
    assert [word for word in words if word not in str(refusal.value)] == []
    assert cloud.requests() == {}


@pytest.mark.parametrize("case", ["no location", "two identities", "two environments", "an invalid policy"])
def test_what_needs_no_run_fails_when_the_dag_is_parsed(case: str) -> None:
    changed, _ = WRONG[case]
    with (
        DAG("daily", schedule=None),
        pytest.raises(InvalidNotebookJobError, match=r"^Task 'report' of DAG 'daily': "),
    ):
        CreateNotebookExecutionJobOperator(task_id="report", **{**JOB, **changed})


def test_templates_are_not_checked_when_the_dag_is_parsed() -> None:
    given = {**JOB, "execution_user": "{{ var.value.user }}", "location": "{{ var.value.region }}"}
    CreateNotebookExecutionJobOperator(task_id="report", **given)


def test_a_wrong_argument_uses_up_no_retries(project: str) -> None:
    with pytest.raises(AirflowFailException) as refusal:
        create(gcs_output_uri="{{ 'x' }}").execute()
    assert isinstance(refusal.value, InvalidNotebookJobError)
    assert (refusal.value.__cause__, refusal.value.__context__) == (None, None)


def test_a_template_that_cannot_be_rendered_uses_up_no_retries() -> None:
    with pytest.raises(AirflowFailException, match=r"'report' cannot be rendered: 'no' is undefined"):
        create(labels={"a": "{{ no.x }}"}).execute()


def test_a_template_of_a_mapped_task_that_cannot_be_rendered_uses_up_no_retries() -> None:
    run = create(task_id="single")
    with DAG("mapped"):
        mapped = CreateNotebookExecutionJobOperator.partial(task_id="report", **JOB).expand(
            labels=[{"a": "b"}, {"a": "{{ no.x }}"}]
        )
    run.ti.map_index = 1
    context = run.context
    context["dag_run"].conf = {}
    with pytest.raises(AirflowFailException, match=r"'report' cannot be rendered: 'no' is undefined"):
        mapped.render_template_fields(context)


def test_a_dict_that_is_not_json_still_parses() -> None:
    endless: dict[str, Any] = {}
    endless["metadata"] = endless
    deep: Any = []
    for _ in range(10_000):
        deep = [deep]
    for content in ({1: 2, "cells": []}, endless, {"metadata": deep}):
        assert str(InlineNotebook(content)).startswith("inline notebook (sha256 ")


def test_all_that_is_wrong_is_told_at_once(cloud: Cloud) -> None:
    wrong = {"notebook": "gs://b", "runtime_template": None, "gcs_output_uri": "x", "service_account": "y"}
    with pytest.raises(InvalidNotebookJobError) as refusal:
        create(**wrong).execute()
    named = ["notebook=", "runtime_template", "gcs_output_uri=", "service_account="]
    assert [word for word in named if word not in str(refusal.value)] == []


def test_a_folder_is_no_notebook(cloud: Cloud, tmp_path: Path) -> None:
    (tmp_path / "my").mkdir()
    with pytest.raises(InvalidNotebookJobError, match="notebook='my' is a folder: name the notebook in it"):
        create(tmp_path, notebook="my").execute()
    assert cloud.requests() == {}


@pytest.mark.parametrize(
    ("given", "generation"),
    [("a.ipynb#12", "12"), ("a#b", None), ("a.ipynb#b.ipynb", None), ("a.ipynb#b/c", None), ("#a.ipynb", None)],
)
def test_an_object_s_name_may_hold_a_hash(given: str, generation: str | None) -> None:
    source = source_fields(f"gs://bucket/{given}", [])["gcs_notebook_source"]
    assert (source.uri, source.generation) == (f"gs://bucket/{given.removesuffix('#12')}", generation)


@pytest.mark.parametrize("text", ["", "not JSON", "[]", "{}", '{"nbformat": 4}', "\x00", json.dumps(NOTEBOOK)[:-5]])
def test_a_file_that_is_no_notebook_is_refused(cloud: Cloud, tmp_path: Path, text: str) -> None:
    (tmp_path / "bad.ipynb").write_text(text)
    with pytest.raises(InvalidNotebookJobError, match=r"The notebook '.*bad\.ipynb' is not"):
        create(tmp_path, notebook="bad.ipynb").execute()
    assert cloud.requests() == {}


@pytest.mark.parametrize(
    "make", [DeleteNotebookExecutionJobOperator, GetNotebookExecutionJobOperator, NotebookExecutionJobSensor]
)
@pytest.mark.parametrize(
    "name", ["", None, 7.5, "a/b", f"{JOB_NAME}/operations/2", f"{JOB_NAME}\n2", {"job_id": "1"}, "../x"], ids=repr
)
def test_a_job_name_that_is_none_is_refused(cloud: Cloud, make: Any, name: Any) -> None:
    with pytest.raises(InvalidNotebookJobError, match="is not the name of a notebook execution job"):
        make(task_id="look", job_name=name, location="us-central1")
    run = TaskRun(lambda: make(task_id="look", job_name="1", location="us-central1"))
    run.operator.job_name = name  # as rendering gives it
    with pytest.raises(InvalidNotebookJobError, match="is not the name of a notebook execution job"):
        run.execute()
    assert cloud.requests() == {}


@pytest.mark.parametrize(
    ("given", "cause"),
    [
        (None, "finds no XCom gives that"),
        ("None", "finds no XCom gives that"),
        ("", "finds no XCom gives that"),
        ({"a": 1}, "it has no 'name'"),
        ("{'name': 'projects/p'}", "it is a dict as text"),
        ("a/b", "give it whole, as 'projects/my-project"),
    ],
    ids=repr,
)
def test_a_job_name_of_none_is_named_with_its_cause(project: str, given: Any, cause: str) -> None:
    run = TaskRun(lambda: NotebookExecutionJobSensor(task_id="look", job_name="1", location="us-central1"))
    run.operator.job_name = given  # as rendering gives it
    with pytest.raises(InvalidNotebookJobError) as refusal:
        run.execute()
    assert f"job_name={given!r} is not the name of a notebook execution job: " in str(refusal.value)
    assert cause in str(refusal.value)


@pytest.mark.parametrize("limit", [0, -1, "5", 1.5, True], ids=repr)
def test_a_limit_that_is_no_number_of_jobs_is_refused(cloud: Cloud, limit: Any) -> None:
    with pytest.raises(InvalidNotebookJobError, match=f"'list'.*limit={limit!r} .*1 or more"):
        ListNotebookExecutionJobsOperator(task_id="list", location="us-central1", limit=limit)
    assert cloud.requests() == {}


def test_a_connection_of_a_person_needs_an_identity(
    connect: Callable[..., Any], tokens: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect("person")
    # Google provider 20 looks for a project beside a person's credentials, and not in the connection.
    monkeypatch.setenv("GOOGLE_CLOUD_PROJECT", "p")
    with pytest.raises(InvalidNotebookJobError, match=r"no identity.*service_account or execution_user"):
        create(service_account=None).execute()
    assert tokens.seen == []


def test_a_connection_without_a_project_says_where_to_give_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(
        "AIRFLOW_CONN_GOOGLE_CLOUD_DEFAULT", '{"conn_type": "google_cloud_platform", "extra": {"is_anonymous": true}}'
    )
    with pytest.raises(InvalidNotebookJobError, match="as project_id or in the connection"):
        create().execute()

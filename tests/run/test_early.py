"""Arguments without a template are checked when the DAG is parsed, and the others in the run."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import DAG

from airflow_nbjobs.exceptions import InvalidNotebookJobError
from airflow_nbjobs.operators import CreateNotebookExecutionJobOperator, PruneNotebookExecutionJobsOperator
from airflow_nbjobs.sensors import NotebookExecutionJobSensor
from tests.support.task_runs import JOB, NOTEBOOK

TEMPLATE_ELSEWHERE = "projects/p/locations/europe-west1/notebookRuntimeTemplates/1"
WRONG: list[tuple[str, Any, str]] = [
    ("capacity_retries", -1, "capacity_retries=-1"),
    ("fallback_runtime_templates", ["5678", "a/b"], "'a/b'"),
    ("job_timeout", 0, "job_timeout=0"),
    ("execution_timeout", timedelta(0), "execution_timeout="),
    ("gcs_output_uri", "bucket/runs", "gcs_output_uri='bucket/runs'"),
    ("gcs_output_uri", None, "gcs_output_uri=None"),
    ("notebook", None, "notebook=None"),
    ("notebook", "gs://bucket", "notebook='gs://bucket'"),
    ("service_account", "runner", "service_account='runner'"),
    ("runtime_template", None, "no environment"),
    ("runtime_template", TEMPLATE_ELSEWHERE, "'europe-west1'"),
    ("location", "US", "location='US'"),
    ("labels", {"nbjobs-try": "1"}, "reserved"),
    ("labels", {"Team": "a"}, "'Team'"),
    ("labels", ["a"], "labels="),
    ("display_name", "x" * 129, "129 characters"),
    ("job_body", {"displayName": "x"}, "displayName"),
    ("parameters", ["a"], "parameters="),
    ("parameters", {1: "a"}, "key 1"),
]


@pytest.mark.parametrize(("argument", "value", "words"), WRONG)
def test_a_wrong_argument_is_an_import_error(argument: str, value: Any, words: str) -> None:
    with DAG("daily", schedule=None), pytest.raises(InvalidNotebookJobError) as refusal:
        CreateNotebookExecutionJobOperator(task_id="report", **{**JOB, argument: value})
    assert str(refusal.value).startswith("Task 'report' of DAG 'daily': ")
    assert words in str(refusal.value)


@pytest.mark.parametrize("argument", sorted({argument for argument, _, _ in WRONG} - {"execution_timeout"}))
def test_an_argument_with_a_template_is_checked_in_the_run(argument: str) -> None:
    in_parts = {
        "labels": {"a": "{{ ds }}"},
        "fallback_runtime_templates": ["{{ ds }}"],
        "parameters": {"a": "{{ ds }}"},
    }
    value = None if argument == "capacity_retries" else in_parts.get(argument, "{{ ds }}")
    CreateNotebookExecutionJobOperator(task_id="report", **{**JOB, argument: value})


def test_what_is_valid_is_no_import_error() -> None:
    valid: list[dict[str, Any]] = [
        {"runtime_template": None, "custom_environment_spec": {}},
        {"service_account": None},
        {"service_account": None, "execution_user": "a@example.com"},
        {"notebook": NOTEBOOK},
        {"notebook": "report.ipynb"},
        {"labels": {"Team": "A"}, "sanitize_labels": True},
        {"job_timeout": "600", "display_name": 7},
    ]
    for changed in valid:
        CreateNotebookExecutionJobOperator(task_id="report", **{**JOB, **changed})


def test_one_of_two_arguments_with_templates_may_be_empty_in_the_run() -> None:
    valid: dict[str, dict[str, Any]] = {
        "both": {"runtime_template": "{{ params.a }}", "custom_environment_spec": {"machineSpec": "{{ params.b }}"}},
        "template": {"runtime_template": "{{ params.a }}"},
        "user": {"service_account": "{{ params.a }}", "execution_user": "{{ params.b }}"},
    }
    for task_id, changed in valid.items():
        CreateNotebookExecutionJobOperator(task_id=task_id, **{**JOB, **changed})


@pytest.mark.parametrize(
    ("argument", "text"),
    [
        ("parameters", "{'a': 1}"),
        ("labels", "{'team': 'a'}"),
        ("fallback_runtime_templates", "['5678']"),
        ("job_body", "{'kernelOptions': {}}"),
        ("workbench_runtime", "{}"),
    ],
)
def test_a_text_that_native_rendering_makes_a_value_is_checked_in_the_run(argument: str, text: str) -> None:
    changed = {**JOB, argument: text}
    with DAG("native", schedule=None, render_template_as_native_obj=True):
        CreateNotebookExecutionJobOperator(task_id="report", **changed)
    with DAG("other", schedule=None), pytest.raises(InvalidNotebookJobError, match=argument):
        CreateNotebookExecutionJobOperator(task_id="report", **changed)


def test_times_of_other_tasks_are_checked_early() -> None:
    with pytest.raises(InvalidNotebookJobError, match="poke_interval=0"):
        NotebookExecutionJobSensor(task_id="wait", job_name="1", poke_interval=0)
    with pytest.raises(InvalidNotebookJobError, match="older_than=-1"):
        PruneNotebookExecutionJobsOperator(task_id="prune", location="us-central1", older_than=-1)

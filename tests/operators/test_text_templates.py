"""Text arguments are the text that the user wrote, also in a DAG with ``render_template_as_native_obj=True``."""

from __future__ import annotations

from typing import Any

import pytest
from airflow.providers.common.compat.sdk import DAG, AirflowFailException

from airflow_nbjobs.operators import (
    CreateNotebookExecutionJobOperator,
    CreateNotebookScheduleOperator,
    GetNotebookExecutionJobOperator,
    GetNotebookRuntimeTemplateOperator,
    GetNotebookScheduleOperator,
)
from tests.support.task_runs import JOB, TaskRun, create

LITERALS = ["007", "1_000", "0x10", "1.10", "1e5", "None", "True", "['a']", "{'a': 1}", "'quoted'", "(1)", " 7 ", ""]


def rendered(make: Any = CreateNotebookExecutionJobOperator, **arguments: Any) -> Any:
    """Return an operator after native rendering; ``params.text`` is "1_000", and so on."""
    given = JOB if make is CreateNotebookExecutionJobOperator else arguments
    run = TaskRun(lambda: make(task_id="report", **given))
    for name, value in arguments.items():  # past the checks of values without a template
        setattr(run.operator, name, value)
    run.operator.dag.render_template_as_native_obj = True
    params = {"text": "1_000", "none": None, "number": 7, "float": 1.1, "labels": {"a": "007"}, "list": ["0x10", "b"]}
    run.operator.render_template_fields({**run.context, "params": params})
    return run.operator


@pytest.mark.parametrize("text", LITERALS)
def test_text_that_looks_like_a_literal_stays_text(text: str) -> None:
    labels = {"plain": text, "deep": {"in": [text]}}
    operator = rendered(runtime_template=text, labels=labels, fallback_runtime_templates=[text])
    assert operator.runtime_template == text
    assert operator.labels == labels
    assert operator.fallback_runtime_templates == [text]


@pytest.mark.parametrize(
    "argument", [name for name in CreateNotebookExecutionJobOperator.text_fields if name != "labels"]
)
def test_each_text_argument_stays_text(argument: str) -> None:
    template = "{{ params.text }}"
    given = [template] if argument in ("fallback_runtime_templates", "impersonation_chain") else template
    written = ["1_000"] if isinstance(given, list) else "1_000"
    assert getattr(rendered(**{argument: given}), argument) == written


def test_the_pieces_of_a_text_are_joined_as_text() -> None:
    assert rendered(display_name="1{{ params.text }}").display_name == "11_000"
    assert rendered(display_name="{% if params.number %}007{% endif %}").display_name == "007"
    assert rendered(display_name="{{ params.text }}\n").display_name == "1_000"  # Jinja drops the last line break


def test_an_expression_for_an_argument_gives_its_object() -> None:
    assert rendered(service_account="{{ params.none }}").service_account is None
    assert rendered(runtime_template="{{ params.number }}").runtime_template == 7


@pytest.mark.parametrize("template", ["{% if params.none %}a@b{% endif %}", "{% if params.none %}{{ ds }}{% endif %}"])
def test_an_argument_whose_template_gives_nothing_is_missing(template: str) -> None:
    operator = rendered(execution_user=template, display_name=template, labels={"team": template})
    assert operator.execution_user is None
    assert operator.display_name is None
    assert operator.labels == {"team": ""}


def test_one_template_gives_a_whole_list_or_dict() -> None:
    operator = rendered(
        labels="{{ params.labels }}",
        fallback_runtime_templates="{{ params.list }}",
        impersonation_chain="['a@p', '{{ params.text }}']",
    )
    assert operator.labels == {"a": "007"}
    assert operator.fallback_runtime_templates == ["0x10", "b"]
    assert operator.impersonation_chain == ["a@p", "1_000"]


def test_values_are_still_rendered_natively() -> None:
    operator = rendered(parameters={"n": "{{ params.number }}", "text": "{{ params.text }}"}, job_timeout="60")
    assert operator.parameters == {"n": 7, "text": 1000}
    assert operator.job_timeout == 60


def test_the_name_of_a_job_stays_text() -> None:
    assert rendered(GetNotebookExecutionJobOperator, job_name="0x10", location="us-central1").job_name == "0x10"


def test_the_text_of_a_mapped_task_stays_text() -> None:
    with DAG("mapped", render_template_as_native_obj=True):
        mapped = CreateNotebookExecutionJobOperator.partial(task_id="report", **JOB).expand(
            labels=[{"a": "00{{ ti.map_index }}", "b": "0x10"}]
        )
    context = create(task_id="single", ti={"map_index": 0}).context
    context["dag_run"].conf = {}
    mapped.render_template_fields(context)
    assert context["task"].labels == {"a": "000", "b": "0x10"}
    assert context["task"].runtime_template == JOB["runtime_template"]


@pytest.mark.parametrize("argument", ["display_name", "parameters"])
def test_a_name_that_is_not_defined_is_refused(argument: str) -> None:
    template: Any = {"a": "{{ missing }}"} if argument == "parameters" else "{{ missing }}"
    with pytest.raises(AirflowFailException, match="'missing' is undefined"):
        rendered(**{argument: template})


@pytest.mark.parametrize(("given", "text"), [(1234567890, "1234567890"), (True, "True"), ("007", "007")])
def test_a_number_for_a_text_argument_becomes_its_text(project: str, given: object, text: str) -> None:
    run = create(display_name=given, labels={"sanitized": given}, sanitize_labels=True, wait_for_completion=False)
    run.execute()
    assert run.operator.display_name == text
    assert run.operator.labels == {"sanitized": text}


def test_the_text_of_a_schedules_job_stays_text() -> None:
    job = {
        "notebook": "gs://notebooks/report.ipynb",
        "runtime_template": "1_000",
        "gcs_output_uri": "gs://results/{{ params.text }}",
        "labels": {"a": "00{{ params.number }}"},
        "execution_user": "{% if params.none %}a@b{% endif %}",
        "workbench_runtime": "{{ '{}' }}",
        "sanitize_labels": "{{ 1 == 1 }}",
    }
    operator = rendered(
        CreateNotebookScheduleOperator, display_name="007", cron="0 6 * * *", job=job, location="us-central1"
    )
    assert operator.job == {
        **job,
        "gcs_output_uri": "gs://results/1_000",
        "labels": {"a": "007"},
        "execution_user": None,
        "workbench_runtime": {},
        "sanitize_labels": True,
    }


@pytest.mark.parametrize("make", [GetNotebookScheduleOperator, GetNotebookRuntimeTemplateOperator])
def test_the_name_of_a_resource_stays_text(make: Any) -> None:
    argument = "schedule" if make is GetNotebookScheduleOperator else "runtime_template"
    assert getattr(rendered(make, **{argument: "1_000"}, location="us-central1"), argument) == "1_000"

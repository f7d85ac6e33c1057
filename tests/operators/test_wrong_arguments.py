"""Every argument of every operator, sensor and decorator is checked when the DAG is parsed."""

from __future__ import annotations

import inspect
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import DAG, BaseOperator, TaskGroup
from airflow.sdk import Param, task
from airflow.sdk.definitions.template import literal

from airflow_nbjobs import operators, sensors
from airflow_nbjobs.decorators import NotebookDecoratedOperator, notebook_task
from airflow_nbjobs.exceptions import InvalidNotebookJobError
from airflow_nbjobs.operators.operator import NotebookJobOperator
from tests.support.task_runs import JOB

REGION = {"location": "us-central1"}
SCHEDULED = {name: JOB[name] for name in ("notebook", "runtime_template", "service_account", "gcs_output_uri")}
NAME = "projects/p/locations/us-central1/{}/1"
VALID: dict[Any, dict[str, Any]] = {
    operators.CreateNotebookExecutionJobOperator: JOB,
    operators.CreateNotebookRuntimeTemplateOperator: {"display_name": "a", **REGION},
    operators.CreateNotebookScheduleOperator: {"display_name": "a", "cron": "0 6 * * *", "job": SCHEDULED, **REGION},
    operators.DeleteNotebookExecutionJobOperator: {"job_name": NAME.format("notebookExecutionJobs")},
    operators.DeleteNotebookRuntimeTemplateOperator: {"runtime_template": NAME.format("notebookRuntimeTemplates")},
    operators.DeleteNotebookScheduleOperator: {"schedule": NAME.format("schedules")},
    operators.GetNotebookExecutionJobOperator: {"job_name": NAME.format("notebookExecutionJobs")},
    operators.GetNotebookRuntimeTemplateOperator: {"runtime_template": NAME.format("notebookRuntimeTemplates")},
    operators.GetNotebookScheduleOperator: {"schedule": NAME.format("schedules")},
    operators.ListNotebookExecutionJobsOperator: REGION,
    operators.ListNotebookRuntimeTemplatesOperator: REGION,
    operators.ListNotebookSchedulesOperator: REGION,
    operators.PauseNotebookScheduleOperator: {"schedule": NAME.format("schedules")},
    operators.PruneNotebookExecutionJobsOperator: {"older_than": 60, **REGION},
    operators.ResumeNotebookScheduleOperator: {"schedule": NAME.format("schedules")},
    operators.RunNotebookScheduleOperator: {"schedule": NAME.format("schedules")},
    sensors.NotebookExecutionJobSensor: {"job_name": NAME.format("notebookExecutionJobs")},
    sensors.NotebookScheduleRunSensor: {"schedule": NAME.format("schedules")},
    NotebookDecoratedOperator: {"python_callable": lambda: None, **JOB},
}
NO_BOOLEAN = ["yes", "false", "True", 2, None, [True]]
NO_NAME = [None, "", "None", "a/b", {}, {"id": 1}, 1.5, ["1"], NAME.format("operations")]
NO_TIME = ["tomorrow", "2026-01-01", datetime(2026, 1, 1), 5, timedelta(1)]  # noqa: DTZ001 - that is what is wrong
NO_TEXT = [1.5, b"x", ["x"], {"x": 1}]
NO_SECONDS = [0, -1, "soon", None, True, float("nan"), float("inf"), [30], 10**400]
WRONG: dict[str, list[Any]] = {
    "allow_queueing": NO_BOOLEAN,
    "asset": [7, ["report"], "{{ ds }}"],
    "capacity_retries": [-1, "2", 1.5, True],
    "catch_up": NO_BOOLEAN,
    "cost_labels": NO_BOOLEAN,
    "cron": [None, "", "0 6 * *", "0 6 * * * *", "61 * * * *", "@daily", "TZ=Mars/Olympus 0 6 * * *", 5],
    "custom_environment_spec": [{}, "e2", ["e2"], 5],  # beside a runtime template
    "deferrable": NO_BOOLEAN,
    "deterministic_job_id": NO_BOOLEAN,
    "display_name": ["", "x" * 129, *NO_TEXT],
    "dry_run": NO_BOOLEAN,
    "end_time": NO_TIME,
    "execution_user": ["ada", "user:ada@example.com", *NO_TEXT],
    "fallback_runtime_templates": ["5678", ["a/b"], [1.5], {"5678"}, 5678, None],
    "filter": NO_TEXT,
    "gcp_conn_id": ["", None, *NO_TEXT],
    "gcs_output_uri": ["", None, "bucket", "s3://bucket", "gs://", *NO_TEXT],
    "grace": [-1, "soon", None, timedelta(-1)],
    "html": NO_BOOLEAN,
    "ignore_if_exists": NO_BOOLEAN,
    "ignore_if_missing": NO_BOOLEAN,
    "impersonation_chain": [1.5, b"x", {"x": 1}, [1.5], [None]],
    "include_active": NO_BOOLEAN,
    "interval_end": NO_TIME,
    "interval_start": NO_TIME,
    "job": [
        {**SCHEDULED, "parameters": "{{ params.a }}"},
        None, "x", {}, {**SCHEDULED, "parameters": {}}, {**SCHEDULED, "notebook": "x.ipynb"},
        {**SCHEDULED, "gcs_output_uri": "x"}, {**SCHEDULED, "labels": {"nbjobs-x": "1"}},
        {**SCHEDULED, "labels": {"a": "B"}}, {**SCHEDULED, "sanitize_labels": "yes"}, {**SCHEDULED, "job_timeout": 0},
        {**SCHEDULED, "runtime_template": "a/b"}, {**SCHEDULED, "kernel_name": "a b"},
        {**SCHEDULED, "gcs_output_uri": "x", "display_name": "{{ ds }}"},
    ],
    "job_body": ["x", ["x"], 5, {"displayName": "x"}, {"displayName": "{{ ds }}"}, {"x": {1, 2}}],
    "job_id": ["a/b", "a b", *NO_TEXT],
    "job_name": NO_NAME,
    "job_timeout": [0, -1, "soon", True, timedelta(0), 1e300, [30]],
    "kernel_name": ["python 3", "a/b", *NO_TEXT],
    "kill": ["stop", None, True, "{{ params.kill }}"],
    "kms_key_name": ["k", "projects/p/locations/l/keyRings/r", *NO_TEXT],
    "labels": [
        "team", ["team"], {"Team": "a"}, {"team": "A"}, {"team": 1.5}, {"": "a"}, {"nbjobs-x": "1"},
        {"nbjobs-x": "{{ ds }}"}, {f"k{number}": "" for number in range(56)},
    ],
    "limit": [0, -1, "5", 1.5, True],
    "location": ["US Central", "a/b", "us\ncentral1", *NO_TEXT],
    "log_output": ["x", None, True],
    "max_concurrent_run_count": [0, "1", None, 1.5],
    "max_run_count": [0, -1, "1", 1.5],
    "notebook": [
        None, "", 7, "gs://bucket", "s3://b/x.ipynb", "gs://b/x.ipynb#y", {}, {"cells": []}, {"nbformat": 9}, ["x"],
        "projects/p/locations/l/repositories/r@main",
    ],
    "older_than": [0, -1, "a month", None, True, timedelta(0)],
    "order_by": NO_TEXT,
    "parameters": [["a"], "a", 5, {1: "a"}, {"a": object()}, {"a": float("nan")}, {"a": "{{ ds }}", "b": {1}}],
    "poke_interval": [0],  # Airflow refuses others
    "poll_interval": NO_SECONDS,
    "project_id": ["a/b", "My Project", *NO_TEXT],
    "retry_on_notebook_error": NO_BOOLEAN,
    "runtime_template": ["a/b", "", None, 1.5, NAME.format("schedules"), ["1234"]],
    "sanitize_labels": NO_BOOLEAN,
    "schedule": NO_NAME,
    "schedule_resource_name": ["77", NAME.format("notebookRuntimeTemplates"), *NO_TEXT],
    "service_account": ["runner", "serviceAccount:a@b", *NO_TEXT],
    "start_time": NO_TIME,
    "template": ["e2", ["e2"], 5, {"displayName": "x"}, {"name": "{{ ds }}"}],
    "template_id": ["a/b", "a b", *NO_TEXT],
    "unknown_parameters": ["x", None, True],
    "unusable_results": ["x", None, True],
    "wait_for_completion": NO_BOOLEAN,
    "workbench_runtime": ["x", ["x"], 5],
}  # fmt: skip
OF_AIRFLOW = {"kwargs", "python_callable", "op_args", "op_kwargs"}


def own_arguments(make: Any) -> set[str]:
    """Return the arguments that this package declares."""
    ours = [each for each in make.__mro__ if issubclass(each, NotebookJobOperator) and "__init__" in vars(each)]
    names = {name for each in ours for name in inspect.signature(vars(each)["__init__"]).parameters}
    return names - OF_AIRFLOW - {"self"} - ({"parameters"} if make is NotebookDecoratedOperator else set())


CASES = [
    pytest.param(make, argument, value, id=f"{make.__name__}-{argument}-{number}")
    for make in VALID
    for argument in sorted(own_arguments(make))
    for number, value in enumerate(WRONG.get(argument, [object()]))
]


def test_every_operator_and_sensor_is_in_the_table() -> None:
    made = {getattr(module, name) for module in (operators, sensors) for name in module.__all__}
    assert {each for each in made if issubclass(each, NotebookJobOperator)} == VALID.keys() - {
        NotebookDecoratedOperator
    }


@pytest.mark.parametrize(("make", "argument", "value"), CASES)
def test_a_wrong_value_is_an_import_error(make: Any, argument: str, value: Any) -> None:
    with DAG("daily", schedule=None), pytest.raises(InvalidNotebookJobError) as refusal:
        make(task_id="report", **{**VALID[make], argument: value})
    text = str(refusal.value)
    assert text.startswith("Task 'report' of DAG 'daily': ")
    # One that has parts names the part; one of two that exclude each other, or of a schedule's job, both or the part.
    assert argument in text or argument in ("job", "labels", "notebook", "runtime_template", "template"), text


@pytest.mark.parametrize("make", VALID)
def test_what_is_known_in_a_run_is_no_import_error(make: Any) -> None:
    @task
    def other() -> dict[str, Any]:
        return {}

    with DAG("daily", schedule=None, params={"a": Param("b")}) as dag:
        later = ["{{ params.a }}", "{% if 1 %}x{% endif %}", other(), other()["a"], dag.param("a"), literal("{{ a }}")]
        for number, argument in enumerate(sorted(own_arguments(make) & set(make.template_fields))):
            for each, value in enumerate(later):
                make(task_id=f"task_{number}_{each}", **{**VALID[make], argument: value})


@pytest.mark.parametrize("make", VALID)
def test_other_marks_of_templates_are_no_import_error(make: Any) -> None:
    with DAG(
        "daily", schedule=None, jinja_environment_kwargs={"variable_start_string": "[[", "variable_end_string": "]]"}
    ):
        for argument in sorted(own_arguments(make) & set(make.template_fields)):
            make(task_id=argument, **{**VALID[make], argument: "[[ params.a ]]"})


def test_what_a_subclass_renders_is_checked_in_the_run() -> None:
    class Templated(operators.CreateNotebookExecutionJobOperator):
        template_fields = (*operators.CreateNotebookExecutionJobOperator.template_fields, "kill", "deferrable")
        template_ext = (".conf",)

    Templated(task_id="report", **{**JOB, "kill": "{{ params.kill }}", "labels": "labels.conf"}, deferrable="{{ ds }}")
    with pytest.raises(InvalidNotebookJobError, match="kill='stop'"):
        Templated(task_id="report", **JOB, kill="stop")


TEMPLATE = "{{ ds }}"
VALID_BESIDES: list[tuple[Any, dict[str, Any]]] = [
    (operators.CreateNotebookExecutionJobOperator, changed)
    for changed in (
        {"deferrable": 1, "html": 0, "poll_interval": "5", "job_timeout": "60"},
        {"kernel_name": "", "kms_key_name": "", "job_id": "", "project_id": "", "schedule_resource_name": ""},
        {"labels": {"team": TEMPLATE}, "parameters": {"day": TEMPLATE, "n": [1, TEMPLATE]}},
        {"notebook": "not/there/yet.ipynb"},
        {"fallback_runtime_templates": ("5678", TEMPLATE), "impersonation_chain": ["a@p", TEMPLATE]},
    )
] + [
    (operators.CreateNotebookScheduleOperator, {"cron": "CRON_TZ=America/New_York */5 1-5 * JAN mon-fri"}),
    (operators.CreateNotebookScheduleOperator, {"start_time": "", "end_time": datetime(2027, 1, 1, tzinfo=UTC)}),
    *(
        (operators.CreateNotebookScheduleOperator, {"job": {**SCHEDULED, **job}})
        for job in (
            {"labels": {f"k{number}": "" for number in range(63)}},
            {"runtime_template": 1234, "labels": {"a": TEMPLATE}},
            {"notebook": TEMPLATE, "sanitize_labels": TEMPLATE, "labels": {"a": "B"}},
        )
    ),
    (
        sensors.NotebookScheduleRunSensor,
        {"interval_start": TEMPLATE, "interval_end": "2026-01-01T00:00:00Z", "grace": 0},
    ),
    (sensors.NotebookExecutionJobSensor, {"job_name": {"name": TEMPLATE}, "poke_interval": timedelta(seconds=9)}),
    (operators.GetNotebookScheduleOperator, {"schedule": 1, **REGION}),
    (operators.GetNotebookScheduleOperator, {"schedule": "1", "location": TEMPLATE}),
]


@pytest.mark.parametrize(("make", "changed"), VALID_BESIDES)
def test_a_valid_value_is_no_import_error(make: Any, changed: dict[str, Any]) -> None:
    for is_native in (False, True):
        with DAG("daily", schedule=None, render_template_as_native_obj=is_native):
            make(task_id="report", **{**VALID[make], **changed})
            make.partial(task_id="mapped", **{**VALID[make], **changed}).expand_kwargs([{"doc_md": "each"}])


def test_an_interval_that_ends_before_it_starts_is_an_import_error() -> None:
    interval = {"interval_start": "2026-01-02T00:00:00Z", "interval_end": "2026-01-01T00:00:00Z"}
    with pytest.raises(InvalidNotebookJobError, match="before it starts"):
        sensors.NotebookScheduleRunSensor(task_id="wait", schedule=NAME.format("schedules"), **interval)


@pytest.mark.parametrize(("argument", "number"), [("labels", 53), ("labels", 55)])
def test_cost_labels_need_room_among_the_labels(argument: str, number: int) -> None:
    make = operators.CreateNotebookExecutionJobOperator
    labels = {f"k{each}": "{{ ds }}" for each in range(number)}
    make(task_id="without", **JOB, labels=labels)
    with pytest.raises(InvalidNotebookJobError, match=f"has {number} labels, and 52 are allowed"):
        make(task_id="with", **JOB, labels=labels, cost_labels=True)
    own = dict.fromkeys(("airflow-dag", "airflow-task", "airflow-run"), "x")
    make(task_id="own", **JOB, labels={**dict(list(labels.items())[: number - 3]), **own}, cost_labels=True)


@pytest.mark.parametrize("where", ["dag", "group", "task"])
def test_the_known_arguments_of_a_mapped_task_are_checked(where: str) -> None:
    def defaults(name: str) -> dict[str, Any]:
        return {"kill": "stop", "unknown_to_it": 1} if where == name else {}

    make = operators.CreateNotebookExecutionJobOperator
    with DAG("daily", schedule=None, default_args=defaults("dag")), TaskGroup("group", default_args=defaults("group")):
        with pytest.raises(InvalidNotebookJobError, match=r"^Task 'group.report' of DAG 'daily': kill='stop'"):
            make.partial(task_id="report", **JOB, default_args=defaults("task"))
        make.partial(task_id="other", **{**JOB, "labels": {"a": "{{ ds }}"}}, kill="leave").expand(display_name=["a"])


@pytest.mark.skipif(
    "render_template_as_native_obj" not in inspect.signature(BaseOperator).parameters, reason="tasks have it since 3.2"
)
def test_a_mapped_task_may_render_natively_alone() -> None:
    make = operators.CreateNotebookExecutionJobOperator
    with DAG("daily", schedule=None):
        given = {**JOB, "parameters": "{'day': 1}"}
        make.partial(task_id="mapped", **given, render_template_as_native_obj=True).expand_kwargs([{"doc_md": "each"}])


def test_an_argument_that_a_subclass_defines_is_its_own() -> None:
    class Report(operators.CreateNotebookExecutionJobOperator):
        def __init__(self, *, limit: str, labels: str = "", **kwargs: Any) -> None:
            super().__init__(labels={"limit": limit, "all": labels}, **kwargs)

    with DAG("daily", schedule=None):
        Report(task_id="one", **JOB, limit="low", labels="red")
        Report.partial(task_id="mapped", **JOB, limit="low", labels="red").expand_kwargs([{"doc_md": "each"}])
        with pytest.raises(InvalidNotebookJobError, match="kill='stop'"):
            Report.partial(task_id="wrong", **JOB, limit="low", kill="stop")


def test_a_decorated_task_is_checked_too() -> None:
    report = notebook_task(**JOB, task_id="report", kill="stop")(lambda: None)
    with (
        DAG("daily", schedule=None),
        pytest.raises(InvalidNotebookJobError, match="Task 'report' of DAG 'daily': kill="),
    ):
        report()

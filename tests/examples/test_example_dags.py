"""Each example DAG, whole, through Airflow's own `dag.test()`."""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import nbformat
import pytest
from airflow.triggers.base import TriggerEvent

from airflow_nbjobs.api.schedule import Schedule
from airflow_nbjobs.emulator import Emulator
from airflow_nbjobs.hooks import NotebookExecutionJobHook
from airflow_nbjobs.operators import CreateNotebookScheduleOperator
from airflow_nbjobs.triggers import NotebookExecutionJobTrigger
from tests.support.task_runs import TaskRun
from tests.support.whole_dags import run_whole

EXAMPLES = Path(__file__).resolve().parents[2] / "example_dags"
DAGS = {
    "after_a_schedule": 1,
    "daily_report": 1,
    "hello_notebook": 1,
    "mapped_notebooks": 3,
    "notebook_as_asset": 1,
    "report_by_hand": 1,
    "run_a_schedule_now": 1,
    "start_now_wait_later": 1,
    "started_by_a_notebook": 0,
}
"""Examples that succeed, and how many jobs a run of each submits."""
OTHERS = {"busiest_day", "failing_notebook"}
"""These have tests of their own."""


def parse(dag_id: str) -> Any:
    """Read the DAG's file as Airflow does."""
    if dag_id == "started_by_a_notebook":
        pytest.importorskip("airflow.triggers.shared_stream", reason="watchers of assets have a state since 3.3")
    try:
        from airflow.dag_processing.dagbag import DagBag
    except ImportError:  # Airflow 3.1
        from airflow.models.dagbag import DagBag

    bag = DagBag(EXAMPLES / f"{dag_id}.py")
    assert bag.import_errors == {}
    return bag.dags[dag_id]


def test_every_example_is_known_here() -> None:
    assert {path.stem for path in EXAMPLES.glob("*.py")} == {*DAGS, *OTHERS}


@pytest.fixture
def deferred(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Keep the names of the jobs that triggers waited for."""
    names: list[str] = []
    run = NotebookExecutionJobTrigger.run

    def noting(trigger: NotebookExecutionJobTrigger) -> AsyncIterator[TriggerEvent]:
        names.append(trigger.job_name)
        return run(trigger)

    monkeypatch.setattr(NotebookExecutionJobTrigger, "run", noting)
    return names


@pytest.fixture
def schedule(cloud: Emulator, monkeypatch: pytest.MonkeyPatch) -> Schedule:
    """Create the schedule that the examples name; it runs once a year."""
    job = {
        "notebook": "gs://nbjobs-examples/notebooks/visits.ipynb",
        "gcs_output_uri": "gs://nbjobs-examples/runs",
        "runtime_template": "1234567890",
        "service_account": "notebooks@local.iam.gserviceaccount.com",
    }
    known = {"display_name": "visits", "cron": "0 6 1 1 *", "location": "us-central1", "job": job}
    made = TaskRun(lambda: CreateNotebookScheduleOperator(task_id="deploy", **known)).execute()
    monkeypatch.setenv("NBJOBS_SCHEDULE", made["name"].rpartition("/")[2])
    return Schedule.from_wire(made)


def run_once(schedule: Schedule) -> None:
    """Create a job as the schedule would."""
    assert schedule.job is not None
    job = replace(schedule.job, schedule_resource_name=schedule.name)
    NotebookExecutionJobHook().create_job(job, location="us-central1")


@pytest.mark.parametrize("deferrable", [True, False], ids=["deferrable", "not deferrable"])
@pytest.mark.parametrize("dag_id", DAGS)
def test_an_example_succeeds(
    dag_id: str,
    deferrable: bool,
    cloud: Emulator,
    deferred: list[str],
    schedule: Schedule,
    airflow_database: None,
) -> None:
    if dag_id == "after_a_schedule":
        run_once(schedule)
    dag = parse(dag_id)
    for task in dag.tasks:
        if task.is_mapped:
            task.partial_kwargs["deferrable"] = deferrable
        elif hasattr(task, "deferrable"):
            task.deferrable = deferrable

    run = run_whole(dag)

    assert run.state == "success"
    # A teardown that fails leaves its run a success.
    assert {task.task_id: task.state for task in run.get_task_instances()} == dict.fromkeys(dag.task_dict, "success")
    jobs = cloud.book(os.environ["GOOGLE_CLOUD_PROJECT"])
    assert [job["state"] for job in jobs] == ["JOB_STATE_SUCCEEDED"] * DAGS[dag_id]
    assert [job["deleted"] for job in jobs] == [dag_id == "start_now_wait_later"] * DAGS[dag_id]
    waited_for, made = {name.rpartition("/")[2] for name in deferred}, {job["id"] for job in jobs}
    if deferrable and dag_id not in {"start_now_wait_later", "after_a_schedule"}:  # the job of a sensor may be over
        assert waited_for == made
    else:
        assert waited_for <= (made if deferrable else set())


def test_hello_notebook_leaves_a_table_and_a_plot(cloud: Emulator, airflow_database: None) -> None:
    run = run_whole(parse("hello_notebook"))
    (task,) = run.get_task_instances()
    uri = task.xcom_pull(task_ids="wine_report")["executed_notebook"]
    executed = nbformat.reads(cloud.download(uri), as_version=4)
    kinds = {kind for cell in executed.cells for output in cell.get("outputs", []) for kind in output.get("data", {})}
    assert {"text/html", "image/png"} <= kinds


def test_the_busiest_day_is_one_of_the_three_before(cloud: Emulator, airflow_database: None) -> None:
    run = run_whole(parse("busiest_day"), logical_date=datetime(2026, 11, 22, tzinfo=UTC))
    told = {(each.task_id, each.map_index): each for each in run.get_task_instances()}
    reports = [told["visits", index].xcom_pull(task_ids="visits", map_indexes=index) for index in range(3)]
    results = [report["results"] for report in reports]
    assert [result["day"] for result in results] == ["2026-11-21", "2026-11-20", "2026-11-19"]
    most = max(results, key=lambda result: result["visits"])
    assert told["busiest", -1].xcom_pull(task_ids="busiest") == most["day"]


def test_a_manual_report_is_of_the_day_it_is_requested(cloud: Emulator, airflow_database: None) -> None:
    days = {f"{datetime.now(UTC):%Y-%m-%d}"}
    run = run_whole(parse("daily_report"), logical_date=None)
    days.add(f"{datetime.now(UTC):%Y-%m-%d}")  # it may be midnight meanwhile
    assert run.logical_date is None
    assert run.get_task_instances()[0].xcom_pull(task_ids="report")["results"]["day"] in days


def test_the_failing_notebook_fails_once_and_for_all(cloud: Emulator, airflow_database: None) -> None:
    run = run_whole(parse("failing_notebook"))
    (job,) = cloud.book(os.environ["GOOGLE_CLOUD_PROJECT"])
    (task,) = run.get_task_instances()
    assert (run.state, task.state, task.try_number, job["state"]) == ("failed", "failed", 1, "JOB_STATE_FAILED")


@pytest.mark.parametrize("path", sorted((EXAMPLES / "notebooks").iterdir()), ids=lambda path: path.stem)
def test_an_example_notebook_is_valid_and_has_no_outputs(path: Path) -> None:
    notebook = json.loads(path.read_text())
    assert (notebook["nbformat"], notebook["nbformat_minor"]) == (4, 5)
    nbformat.validate(notebook)
    code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert [(cell["outputs"], cell["execution_count"]) for cell in code] == [([], None)] * len(code)

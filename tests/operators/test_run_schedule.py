"""The notebook of a schedule, run now: a job like those of the create operator, under the schedule's name."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest

from airflow_nbjobs.exceptions import InvalidNotebookJobError, NotebookJobFailedError, NotFoundError
from airflow_nbjobs.hooks import NotebookExecutionJobHook
from airflow_nbjobs.operators import CreateNotebookScheduleOperator, RunNotebookScheduleOperator
from tests.support.cloud import Cloud
from tests.support.emulators import using
from tests.support.papers import as_bytes, cell, notebook
from tests.support.task_runs import REGION, TaskRun

nbjobs_emulator_session = using("kernels")
PAPER = notebook(
    cell("day = 'none'\nkind = 1", "parameters"),
    cell("print({'day': day, 'kind': kind})", "result"),
)


@pytest.fixture
def schedule(cloud: Cloud) -> dict[str, Any]:
    """Create a schedule of a notebook in the storage."""
    return make_schedule(cloud)


def make_schedule(cloud: Cloud, paper: Any = PAPER, **job: Any) -> dict[str, Any]:
    """Create a schedule, which runs once a year."""
    uri = f"gs://results/{cloud.project}/report.ipynb"
    cloud.upload(uri, as_bytes(paper))
    known = {
        "notebook": uri,
        "gcs_output_uri": f"gs://results/{cloud.project}/runs",
        "runtime_template": "1234",
        "service_account": "runner@project.iam.gserviceaccount.com",
        "labels": {"team": "a"},
        "job_timeout": 600,
        **job,
    }
    arguments = {"display_name": "daily report", "cron": "0 6 1 1 *", "location": REGION, "job": known}
    return dict(TaskRun(lambda: CreateNotebookScheduleOperator(task_id="deploy", **arguments)).execute())


def run(schedule: Any, **arguments: Any) -> TaskRun:
    """Return a run of the task."""
    known = {"task_id": "now", "schedule": schedule, "poll_interval": 0.1, **arguments}
    return TaskRun(lambda: RunNotebookScheduleOperator(**known), max_tries=known.get("retries", 0))


def newest_job(cloud: Cloud) -> Any:
    """Read the job that was created last."""
    return NotebookExecutionJobHook().get_job(cloud.book()[-1]["name"])


@pytest.mark.parametrize("deferrable", [False, True], ids=["here", "deferred"])
def test_the_notebook_runs_with_parameters_under_the_schedule(cloud: Cloud, schedule: Any, deferrable: bool) -> None:
    task = run(schedule, parameters={"day": "{{ ds }}"}, deferrable=deferrable)
    result = task.to_its_end()
    assert result["state"] == "JOB_STATE_SUCCEEDED"
    assert result["results"] == {"day": "2026-11-22", "kind": 1}
    job = newest_job(cloud)
    assert job.schedule_resource_name == schedule["name"]
    assert job.display_name.startswith("daily report-")
    assert job.labels["team"] == "a"
    assert "nbjobs-schedule" not in job.labels
    assert job.execution_timeout == timedelta(minutes=10)
    assert result["executed_notebook"].startswith(f"gs://results/{cloud.project}/runs/")
    assert {"_link_NotebookExecutionJobListLink", "_link_ExecutedNotebookLink"} <= task.ti.xcoms.keys()
    listed = NotebookExecutionJobHook().list_jobs(location=REGION, filter=f'schedule="{schedule["name"]}"')
    assert [each.name for each in listed] == [job.name]


def test_without_parameters_the_notebook_is_run_as_it_is(cloud: Cloud, schedule: Any) -> None:
    assert run(schedule).execute()["results"] == {"day": "none", "kind": 1}
    source = newest_job(cloud).gcs_notebook_source
    assert source.uri == f"gs://results/{cloud.project}/report.ipynb"
    assert source.generation  # the one that was the newest


@pytest.mark.parametrize("shape", ["name", "id"])
def test_the_schedule_is_named_as_people_name_it(cloud: Cloud, schedule: Any, shape: str) -> None:
    given = schedule["name"] if shape == "name" else schedule["name"].rpartition("/")[2]
    made = run(given, location=REGION, wait_for_completion=False).execute()
    assert made["name"].startswith(schedule["name"].partition("/schedules/")[0])


def test_a_retry_adopts_the_job_of_the_try_before(cloud: Cloud, schedule: Any) -> None:
    task = run(schedule, retries=1, deferrable=True)
    task.defer()
    task.ti.try_number = 2
    assert task.in_another_process().to_its_end()["state"] == "JOB_STATE_SUCCEEDED"
    assert len(cloud.book()) == 1


def test_a_raising_cell_fails_the_task_with_cell_and_line(cloud: Cloud) -> None:
    made = make_schedule(cloud, notebook(cell("x = 0"), cell("1 / x")))
    with pytest.raises(NotebookJobFailedError, match=r"^Cell 2, line 1: ZeroDivisionError"):
        run(made).execute()


def test_the_shorter_of_both_timeouts_bounds_the_job(cloud: Cloud, schedule: Any) -> None:
    run(schedule, execution_timeout=timedelta(minutes=5), wait_for_completion=False).execute()
    assert newest_job(cloud).execution_timeout == timedelta(minutes=5)
    run(schedule, execution_timeout=timedelta(hours=5), wait_for_completion=False).execute()
    assert newest_job(cloud).execution_timeout == timedelta(minutes=10)
    run(schedule, job_timeout=30, wait_for_completion=False).execute()
    assert newest_job(cloud).execution_timeout == timedelta(seconds=30)


def test_a_capacity_failure_is_submitted_again(cloud: Cloud, schedule: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("airflow_nbjobs.run.result._GRACE", (0.01, 0.01))
    monkeypatch.setattr("airflow_nbjobs.api.pacing._FIRST", 0.01)
    cloud.fault({"job_state": "JOB_STATE_FAILED", "status_message": "ZONE_RESOURCE_POOL_EXHAUSTED"})
    assert run(schedule, capacity_retries=1).execute()["state"] == "JOB_STATE_SUCCEEDED"
    assert cloud.states() == ["FAILED", "SUCCEEDED"]


def test_a_killed_task_ends_its_job(cloud: Cloud) -> None:
    made = make_schedule(cloud, notebook(cell("import time\nwhile True: time.sleep(1)")))
    task = run(made, deferrable=True)
    task.defer()
    task.operator.on_kill()
    assert cloud.states() == ["CANCELLED"]


def test_a_schedule_that_is_gone_is_named(cloud: Cloud, schedule: Any) -> None:
    NotebookExecutionJobHook().schedules.delete(schedule["name"])
    with pytest.raises(NotFoundError, match=r"schedules/\d+ does not exist.*NBJOBS_EMULATOR_HOST"):
        run(schedule).execute()
    assert cloud.book() == []


def test_a_schedule_of_pipelines_is_refused(cloud: Cloud, schedule: Any) -> None:
    from airflow_nbjobs.api.schedule import Schedule

    parent = f"projects/{cloud.project}/locations/{REGION}"
    pipeline = {"parent": parent, "pipelineJob": {"displayName": "p"}}
    described = Schedule(
        display_name="pipes", cron="0 6 1 1 *", max_concurrent_run_count=1, create_pipeline_job_request=pipeline
    )
    made = NotebookExecutionJobHook().schedules.create(described, location=REGION)
    with pytest.raises(InvalidNotebookJobError, match=r"'pipes' \(projects/.*\) runs pipelines: name one that runs"):
        run(made.name).execute()


def test_a_notebook_that_was_sent_with_the_schedule_runs(cloud: Cloud, schedule: Any) -> None:
    import base64

    hook = NotebookExecutionJobHook()
    from airflow_nbjobs.api.schedule import Schedule

    wire = json.loads(json.dumps({key: schedule[key] for key in ("displayName", "cron", "maxConcurrentRunCount")}))
    request = schedule["createNotebookExecutionJobRequest"]
    job = {key: value for key, value in request["notebookExecutionJob"].items() if key != "gcsNotebookSource"}
    direct = {"content": base64.b64encode(as_bytes(PAPER)).decode()}
    wire["createNotebookExecutionJobRequest"] = {
        **request,
        "notebookExecutionJob": {**job, "directNotebookSource": direct},
    }
    made = hook.schedules.create(Schedule.from_wire(wire), location=REGION)
    assert run(made.name, parameters={"kind": 2}).execute()["results"] == {"day": "none", "kind": 2}


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ({"kill": "stop"}, "kill='stop'"),
        ({"poll_interval": 0}, "poll_interval=0"),
        ({"log_output": "some"}, "log_output='some'"),
    ],
)
def test_wrong_arguments_are_refused_when_the_dag_is_parsed(arguments: Any, problem: str) -> None:
    with pytest.raises(InvalidNotebookJobError, match=problem):
        run("1", location=REGION, **arguments)


def test_a_parameter_that_is_not_declared_is_refused(cloud: Cloud, schedule: Any) -> None:
    with pytest.raises(InvalidNotebookJobError, match="does not declare 'dya'"):
        run(schedule, parameters={"dya": "1"}).execute()
    assert cloud.book() == []

"""Operators of schedules: create, get, list, pause, resume, delete."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from airflow_nbjobs.emulator import Emulator
from airflow_nbjobs.exceptions import InvalidNotebookJobError, NbjobsError, NotFoundError
from airflow_nbjobs.operators import (
    CreateNotebookScheduleOperator,
    DeleteNotebookScheduleOperator,
    GetNotebookScheduleOperator,
    ListNotebookSchedulesOperator,
    PauseNotebookScheduleOperator,
    ResumeNotebookScheduleOperator,
)
from tests.support.cloud import Cloud
from tests.support.task_runs import REGION, TaskRun

JOB = {
    "notebook": "gs://notebooks/report.ipynb",
    "runtime_template": "1234",
    "service_account": "runner@project.iam.gserviceaccount.com",
    "gcs_output_uri": "gs://results/runs",
}
SCHEDULE = {"display_name": "daily report", "cron": "TZ=Europe/Berlin 0 6 * * *", "job": JOB}


@pytest.fixture(scope="module")
def nbjobs_emulator_session() -> Iterator[Emulator]:
    """Run an emulator of this module's own: its clock is moved."""
    with Emulator(runner="simulated", seconds=0.1, cleanup_seconds=0.0) as emulator:
        yield emulator


def run(make: Any, **arguments: Any) -> TaskRun:
    """Return a run of a task."""
    return TaskRun(lambda: make(task_id="task", **{"location": REGION, **arguments}))


def create(**arguments: Any) -> dict[str, Any]:
    """Create a schedule."""
    return dict(run(CreateNotebookScheduleOperator, **{**SCHEDULE, **arguments}).execute())


def read(schedule: Any) -> dict[str, Any]:
    """Get a schedule."""
    return dict(run(GetNotebookScheduleOperator, schedule=schedule).execute())


def test_a_created_schedule_runs_the_notebook_at_its_times(cloud: Cloud) -> None:
    made = create(max_run_count=2, start_time="2026-01-01T00:00:00+00:00", end_time=datetime(2090, 1, 1, tzinfo=UTC))
    assert (made["state"], made["maxRunCount"], made["maxConcurrentRunCount"]) == ("ACTIVE", "2", "1")
    request = made["createNotebookExecutionJobRequest"]
    assert request["parent"] == f"projects/{cloud.project}/locations/{REGION}"
    job = request["notebookExecutionJob"]
    assert job["gcsNotebookSource"] == {"uri": JOB["notebook"]}  # the newest of each time
    assert job["notebookRuntimeTemplateResourceName"].endswith(f"/{cloud.project}/locations/{REGION}/{TEMPLATE}")
    assert job["displayName"] == "daily report"
    cloud.move_clock(timedelta(days=3))
    assert len(cloud.book()) == 2
    assert read(made)["state"] == "COMPLETED"


TEMPLATE = "notebookRuntimeTemplates/1234"


@pytest.mark.parametrize("shape", ["output", "name", "id"])
def test_a_schedule_is_named_by_output_name_or_id(cloud: Cloud, shape: str) -> None:
    made = create()
    given = {"output": made, "name": made["name"], "id": made["name"].rpartition("/")[2]}[shape]
    assert read(given) == made
    if shape != "id":
        assert run(GetNotebookScheduleOperator, schedule=given, location=None).execute() == made


def test_a_retry_finds_the_schedule_that_it_created(cloud: Cloud) -> None:
    first = run(CreateNotebookScheduleOperator, **SCHEDULE)
    made = first.execute()
    first.ti.try_number = 2
    assert first.in_another_process().execute()["name"] == made["name"]
    other = run(CreateNotebookScheduleOperator, **{**SCHEDULE, "cron": "0 7 * * *"}).execute()
    assert other["name"] != made["name"]
    assert cloud.requests()["create_schedule"] == {"200": 2}


def test_a_create_without_an_answer_is_looked_for(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("airflow_nbjobs.run.scheduled._PAUSES", (0.01, 0.01))
    cloud.fault({"method": "create_schedule", "drop": True, "phase": "after"})
    assert create()["state"] == "ACTIVE"
    assert len(run(ListNotebookSchedulesOperator).execute()) == 1
    cloud.fault({"method": "create_schedule", "status": 503, "phase": "before"})
    with pytest.raises(NbjobsError, match="503"):
        create(display_name="other")


def test_a_schedule_is_paused_and_resumed_as_often_as_wanted(cloud: Cloud) -> None:
    made = create()
    for _ in range(2):
        assert run(PauseNotebookScheduleOperator, schedule=made).execute()["state"] == "PAUSED"
    cloud.move_clock(timedelta(days=2))
    assert cloud.book() == []
    for _ in range(2):
        assert run(ResumeNotebookScheduleOperator, schedule=made, catch_up=True).execute()["state"] == "ACTIVE"
    assert len(cloud.book()) == 2
    assert cloud.requests()["pause_schedule"] == {"200": 1}


def test_somebody_else_may_have_paused_it_meanwhile(cloud: Cloud) -> None:
    made = create()
    cloud.fault({"method": "pause_schedule", "drop": True, "phase": "after"})
    assert run(PauseNotebookScheduleOperator, schedule=made).execute()["state"] == "PAUSED"
    assert cloud.requests()["pause_schedule"] == {"400": 1, "dropped": 1}


@pytest.mark.parametrize("operator", [PauseNotebookScheduleOperator, ResumeNotebookScheduleOperator])
def test_a_completed_schedule_says_so(cloud: Cloud, operator: Any) -> None:
    made = create(max_run_count=1)
    cloud.move_clock(timedelta(days=1))
    with pytest.raises(NbjobsError, match=r"'daily report' .* is COMPLETED, and cannot become (PAUSED|ACTIVE): 400"):
        run(operator, schedule=made).execute()


def test_a_deleted_schedule_is_gone_and_its_jobs_stay(cloud: Cloud) -> None:
    made = create()
    cloud.move_clock(timedelta(days=1))
    assert run(DeleteNotebookScheduleOperator, schedule=made, poll_interval=0.1).execute() == made["name"]
    assert [job["deleted"] for job in cloud.book()] == [False]
    with pytest.raises(NotFoundError, match=r"schedules/.* NBJOBS_EMULATOR_HOST"):
        run(DeleteNotebookScheduleOperator, schedule=made).execute()
    assert run(DeleteNotebookScheduleOperator, schedule=made, ignore_if_missing=True).execute() is None
    for operator in (GetNotebookScheduleOperator, PauseNotebookScheduleOperator, ResumeNotebookScheduleOperator):
        with pytest.raises(NotFoundError, match="does not exist"):
            run(operator, schedule=made).execute()


def test_a_list_has_schedules_of_notebooks_and_not_too_many(cloud: Cloud) -> None:
    for name in "bac":
        create(display_name=name)
    assert [each["displayName"] for each in run(ListNotebookSchedulesOperator).execute()] == ["c", "a", "b"]
    some = run(ListNotebookSchedulesOperator, filter='display_name!="a"', order_by="create_time", limit=1).execute()
    assert [each["displayName"] for each in some] == ["b"]
    with pytest.raises(InvalidNotebookJobError, match="limit=0 is not a number of items"):
        run(ListNotebookSchedulesOperator, limit=0)


def test_links_lead_to_the_schedule_in_googles_console(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    from airflow_nbjobs import links

    made = create()
    monkeypatch.delenv("NBJOBS_EMULATOR_HOST")
    for operator in (GetNotebookScheduleOperator, PauseNotebookScheduleOperator):
        task = run(operator, schedule=made)
        links.publish_schedule(task.ti, made["name"], "p")
        expected = f"/vertex-ai/locations/{REGION}/pipelines/schedules/{made['name'].rpartition('/')[2]}?project=p"
        assert task.ti.xcoms["_link_NotebookScheduleLink"].endswith(expected)
        assert [type(link).__name__ for link in task.operator.operator_extra_links] == ["NotebookScheduleLink"]


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ({"cron": "0 6 * *"}, r"cron='0 6 \* \*' is not a cron expression: give five fields"),
        ({"cron": ""}, "cron='' is not a cron expression"),
        ({"display_name": ""}, "display_name='' has 0 characters: give 1 to 128"),
        ({"max_run_count": 0}, "max_run_count=0 is not a number of runs"),
        ({"max_concurrent_run_count": "1"}, "max_concurrent_run_count='1' is not a number of runs"),
        ({"start_time": "tomorrow"}, "start_time='tomorrow' is not a time: give one with a time zone"),
        ({"end_time": datetime(2026, 1, 1)}, "end_time=.* is not a time"),  # noqa: DTZ001 - that is what is wrong
        ({"job": {**JOB, "parameters": {}}}, r"job=\['parameters'\] is not possible: give a dict"),
        ({"job": "gs://notebooks/report.ipynb"}, "job='gs://notebooks/report.ipynb' is not possible"),
        ({"job": {**JOB, "notebook": "report.ipynb"}}, "notebook='report.ipynb' cannot be scheduled"),
        ({"job": {**JOB, "gcs_output_uri": "results"}}, "gcs_output_uri='results' is not a folder"),
        ({"job": {**JOB, "labels": {"nbjobs-x": "1"}}}, "reserved"),
        ({"location": "mars"}, None),
        ({"location": "a/b"}, "location='a/b' is not a location"),
    ],
)
def test_a_schedule_that_cannot_be_created_is_not_sent(cloud: Cloud, arguments: Any, problem: str | None) -> None:
    if problem is None:
        assert create(**arguments)["state"] == "ACTIVE"  # the service decides which locations exist
        return
    with pytest.raises(InvalidNotebookJobError, match=problem):
        create(**arguments)
    assert "create_schedule" not in cloud.requests()


@pytest.mark.parametrize("given", ["", None, "None", {"id": "1"}, "projects/p/locations/l/notebookExecutionJobs/1"])
def test_what_names_no_schedule_is_refused_before_a_request(cloud: Cloud, given: Any) -> None:
    with pytest.raises(InvalidNotebookJobError, match="is not the name of a schedule: give its id"):
        read(given)
    assert cloud.requests() == {}


def test_a_schedule_of_another_location_is_refused(cloud: Cloud) -> None:
    made = create()
    with pytest.raises(InvalidNotebookJobError, match="is in 'us-central1', and location='europe-west4' is another"):
        run(GetNotebookScheduleOperator, schedule=made, location="europe-west4").execute()

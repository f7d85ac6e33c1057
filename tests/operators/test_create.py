"""A create task from its arguments to its result, waiting here, in the triggerer, or not at all."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import TaskDeferred

from airflow_nbjobs import links
from airflow_nbjobs.api.job import GcsNotebookSource, NotebookExecutionJob
from airflow_nbjobs.emulator import Emulator
from airflow_nbjobs.exceptions import (
    AlreadyExistsError,
    InvalidArgumentError,
    InvalidNotebookJobError,
    NbjobsError,
    NotebookJobFailedError,
    NotebookJobGoneError,
    NotebookJobTimeoutError,
)
from airflow_nbjobs.hooks import NotebookExecutionJobHook
from airflow_nbjobs.operators import CreateNotebookExecutionJobOperator
from tests.support.cloud import Cloud
from tests.support.logged import Logged
from tests.support.papers import sent
from tests.support.task_runs import JOB, NOTEBOOK, TaskInstance, create, restored

MODES = pytest.mark.parametrize("deferrable", [False, True], ids=["here", "deferred"])
FAILURES = ["FAILED", "CANCELLED", "EXPIRED", "PARTIALLY_SUCCEEDED"]
LINKS = {"_link_NotebookExecutionJobListLink", "_link_ExecutedNotebookLink"}
"""On an emulator; the others lead to pages of Google's console only."""


@MODES
def test_a_create_task_returns_where_the_executed_notebook_is(project: str, deferrable: bool) -> None:
    run = create(deferrable=deferrable)
    result = run.to_its_end()
    name = run.job_name
    job_id = name.rpartition("/")[2]
    assert result == {
        "v": 1,
        "name": name,
        "job_id": job_id,
        "state": "JOB_STATE_SUCCEEDED",
        "executed_notebook": f"gs://results/runs/{job_id}/report.ipynb",
        "notebook_version": None,  # there is no such object that it could be pinned to
    }
    assert len(run.deferrals) == deferrable


def test_without_waiting_a_task_ends_after_submission(cloud: Cloud) -> None:
    run = create(wait_for_completion=False)
    result = run.execute()
    assert result["state"] in {"JOB_STATE_QUEUED", "JOB_STATE_PENDING", "JOB_STATE_RUNNING"}
    assert cloud.requests() == {"list": {"200": 1}, "create": {"200": 1}, "get": {"200": 1}}
    assert set(run.ti.xcoms) == LINKS | {"notebook_execution_job"}


def test_an_operator_that_code_executes_twice_names_the_hook(cloud: Cloud) -> None:
    run = create(wait_for_completion=False)
    run.execute()
    with pytest.raises(InvalidNotebookJobError, match=r"'report' is executed .* twice\. .*NotebookExecutionJobHook"):
        run.execute()
    assert len(cloud.book()) == 1


def test_an_operator_that_another_task_executes_names_the_hook(cloud: Cloud) -> None:
    run, other = create(), CreateNotebookExecutionJobOperator(task_id="inner", **JOB)
    with pytest.raises(InvalidNotebookJobError, match=r"'inner' is executed by the code of a task.*Hook"):
        other.execute(run.context)
    assert cloud.requests() == {}


def test_airflow_tasks_test_runs_the_notebook_each_time(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    """It keeps the task instance and its try; each time is a process of its own."""
    monkeypatch.setenv("AIRFLOW_TEST_MODE", "True")
    run = create(wait_for_completion=False)
    run.execute()
    run.in_another_process().execute()
    assert len(cloud.book()) == 2


def test_a_process_that_starts_a_try_again_adopts(cloud: Cloud) -> None:
    run = create(wait_for_completion=False)
    first = run.execute()
    assert run.in_another_process().execute()["name"] == first["name"]
    assert len(cloud.book()) == 1


def test_the_trigger_is_told_what_a_resumed_task_needs(project: str) -> None:
    run = create(deferrable=True, poll_interval=7, kill="delete", impersonation_chain=["a@x.y", "b@x.y"])
    deferral = run.defer()
    known = run.ti.xcoms["notebook_execution_job"]
    path, kwargs = restored(deferral).serialize()
    assert path == "airflow_nbjobs.triggers.NotebookExecutionJobTrigger"
    assert datetime.fromisoformat(kwargs.pop("created_at")).tzinfo is not None
    assert kwargs == {
        "job_name": known["name"],
        "operation_name": known["operation"],
        "deadline": None,
        "kill": "delete",
        "gcp_conn_id": "google_cloud_default",
        "impersonation_chain": ["a@x.y", "b@x.y"],
        "poll_interval": 7.0,
        "v": 1,
    }
    assert (deferral.method_name, deferral.timeout) == ("execute_complete", None)


@MODES
@pytest.mark.parametrize("word", FAILURES)
def test_a_job_that_ends_otherwise_fails_the_task(cloud: Cloud, deferrable: bool, word: str) -> None:
    said = "<b>Cell 3</b> raised a <module> of &quot;trouble&quot;"
    cloud.fault({"job_state": ["JOB_STATE_RUNNING", f"JOB_STATE_{word}"], "status_message": said})
    run = create(deferrable=deferrable)
    with pytest.raises(NotebookJobFailedError) as failure:
        run.to_its_end()
    name = run.job_name
    assert (failure.value.job_name, failure.value.state) == (name, f"JOB_STATE_{word}")
    text = str(failure.value)
    assert f"{word} after " in text
    assert 'Cell 3 raised a <module> of "trouble".' in text
    assert f"gs://results/runs/{name.rpartition('/')[2]}/report.ipynb" in text
    assert set(run.ti.xcoms) >= LINKS


def test_a_task_defers_anew_when_its_job_still_goes_on(cloud: Cloud) -> None:
    cloud.fault({"job_state": ["JOB_STATE_RUNNING", "JOB_STATE_SUCCEEDED"], "seconds": 3})
    run = create(deferrable=True)
    run.defer()
    with pytest.raises(TaskDeferred) as second:
        run.told(state="JOB_STATE_SUCCEEDED")
    assert run.after(second.value)["state"] == "JOB_STATE_SUCCEEDED"
    assert len(cloud.book()) == 1


def test_a_task_defers_without_reading_its_new_job(cloud: Cloud) -> None:
    run = create(deferrable=True)
    deferral = run.defer()
    assert cloud.requests() == {"list": {"200": 1}, "create": {"200": 1}}
    created_at = datetime.fromisoformat(restored(deferral).created_at)
    assert abs(created_at - datetime.now(UTC)) < timedelta(hours=1)
    assert run.after(deferral)["state"] == "JOB_STATE_SUCCEEDED"


def test_a_retry_does_not_defer_for_a_job_that_has_ended(cloud: Cloud, logged: Logged) -> None:
    cloud.fault({"job_state": "JOB_STATE_SUCCEEDED"})
    run = create(deferrable=True, retries=1)
    run.defer()
    run.in_another_process().ti.try_number = 2
    assert run.execute()["state"] == "JOB_STATE_SUCCEEDED"
    assert not [line for line in logged() if "RUNNING" in line]


def test_name_and_links_exist_while_the_job_runs(nbjobs_emulator: Emulator, project: str) -> None:
    run = create(wait_for_completion=False)
    run.execute()
    job_id = run.job_name.rpartition("/")[2]
    assert {key: value for key, value in run.ti.xcoms.items() if key.startswith("_link_")} == {
        "_link_NotebookExecutionJobListLink": nbjobs_emulator.url,
        "_link_ExecutedNotebookLink": f"{nbjobs_emulator.url}/_emulator/jobs/{job_id}/notebook",
    }


def test_links_lead_to_the_console_of_google(monkeypatch: pytest.MonkeyPatch) -> None:
    ti = TaskInstance(task_id="report")
    schedule = "projects/p/locations/us-central1/schedules/77"
    job = NotebookExecutionJob(
        name="projects/p/locations/us-central1/notebookExecutionJobs/5",
        gcs_notebook_source=GcsNotebookSource(uri="gs://notebooks/report.ipynb"),
        gcs_output_uri="gs://results/runs",
        schedule_resource_name=schedule,
    )
    monkeypatch.delenv("NBJOBS_EMULATOR_HOST", raising=False)
    links.publish(ti, job, "p")
    console = "https://console.cloud.google.com"
    assert ti.xcoms == {
        "_link_NotebookExecutionJobListLink": f"{console}/vertex-ai/colab/execution-jobs?project=p",
        "_link_ExecutedNotebookLink": (
            f"{console}/storage/browser/_details/results/runs/5/report.ipynb;tab=live_object?project=p"
        ),
        "_link_NotebookLogsLink": f"{console}/logs/query?query=SEARCH%28%225%22%29&project=p",
        "_link_NotebookScheduleLink": f"{console}/vertex-ai/locations/us-central1/pipelines/schedules/77?project=p",
    }


def test_a_link_that_was_not_pushed_asks_airflow_for_nothing() -> None:
    run = create()
    run.ti.run_id = "another run"
    assert [link.get_link(run.operator, ti_key=run.ti) for link in links.LINKS] == [""] * 4


def test_the_links_are_there_before_the_first_look(cloud: Cloud) -> None:
    cloud.fault({"method": "get", "status": 403, "message": "You may create, but not look."})
    run = create()
    with pytest.raises(NbjobsError, match=r"403 PERMISSION_DENIED: You may create, but not look\."):
        run.execute()
    assert set(run.ti.xcoms) == LINKS | {"notebook_execution_job"}


def test_a_refused_create_shows_the_services_own_words(cloud: Cloud) -> None:
    cloud.fault({"method": "create", "status": 400, "message": "The template has no network."})
    run = create()
    with pytest.raises(InvalidArgumentError, match=r"^400 INVALID_ARGUMENT: The template has no network\.$"):
        run.execute()
    assert run.ti.xcoms == {}


def test_a_job_that_never_appears_is_gone(cloud: Cloud, brisk: None) -> None:
    cloud.fault({"method": "get", "status": 404, "times": 5})
    with pytest.raises(NotebookJobGoneError, match="NBJOBS_EMULATOR_HOST"):
        create().execute()
    assert cloud.requests()["get"]["404"] == 5


def test_execution_timeout_bounds_the_job_and_the_deferral(cloud: Cloud) -> None:
    run = create(deferrable=True, execution_timeout=timedelta(minutes=90))
    deferral = run.defer()
    assert sent(run)["executionTimeout"] == "5400s"
    deadline = datetime.fromisoformat(restored(deferral).deadline)
    assert deadline == run.ti.start_date + timedelta(minutes=90)
    assert timedelta(minutes=91) < deferral.timeout <= timedelta(minutes=92)


@pytest.mark.parametrize("given", [600, 600.0, "600", timedelta(minutes=10), "{{ 60 * 10 }}"], ids=repr)
def test_job_timeout_bounds_the_job_alone(cloud: Cloud, given: Any) -> None:
    run = create(deferrable=True, job_timeout=given)
    deferral = run.defer()
    assert sent(run)["executionTimeout"] == "600s"
    assert deferral.timeout is None


@pytest.mark.parametrize(("kill", "state"), [("cancel", "CANCELLED"), ("delete", "CANCELLED"), ("leave", "RUNNING")])
def test_a_deferral_whose_time_is_over_ends_the_job(cloud: Cloud, kill: str, state: str) -> None:
    cloud.fault({"job_state": "JOB_STATE_RUNNING"})
    run = create(deferrable=True, execution_timeout=timedelta(seconds=1), job_timeout=60, kill=kill)
    with pytest.raises(NotebookJobTimeoutError, match=r"was still RUNNING after execution_timeout=0:00:01"):
        run.to_its_end()
    assert run.events[-1]["outcome"] == "timeout"
    (job,) = cloud.book()
    assert job["state"] == f"JOB_STATE_{state}"
    assert job["deleted"] is (kill == "delete")


@pytest.mark.parametrize(
    ("error", "retries", "state"),
    [("Trigger timeout", 1, "CANCELLED"), ("Trigger failure", 1, "RUNNING"), ("Trigger failure", 0, "CANCELLED")],
)
def test_a_failed_deferral_ends_the_job_unless_a_retry_follows(
    cloud: Cloud, error: str, retries: int, state: str
) -> None:
    cloud.fault({"job_state": "JOB_STATE_RUNNING"})
    run = create(deferrable=True, retries=retries)
    run.defer()
    with pytest.raises(Exception, match=error):
        run.resume("__fail__", {"error": error})
    assert cloud.states() == [state]


def test_a_job_that_somebody_deletes_is_gone(cloud: Cloud, brisk: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("airflow_nbjobs.watch.waiters._GRACE_SECONDS", 0.1)
    cloud.fault({"job_state": "JOB_STATE_RUNNING"})
    run = create(deferrable=True)
    deferral = run.defer()
    operation = NotebookExecutionJobHook().delete_job(run.job_name)
    assert operation.name
    with pytest.raises(NotebookJobGoneError, match=r"may have been deleted.* NBJOBS_EMULATOR_HOST"):
        run.after(deferral)
    assert run.events[-1]["outcome"] == "gone"


def test_the_job_runs_as_the_connections_own_account_by_default(cloud: Cloud, logged: Logged) -> None:
    run = create(service_account=None)
    run.execute()
    account = f"emulator@{cloud.project}.iam.gserviceaccount.com"
    assert sent(run)["serviceAccount"] == account
    assert f"No identity was given: the notebook runs as the connection's own {account}." in logged()


def test_a_given_identity_is_sent_alone(cloud: Cloud, logged: Logged) -> None:
    run = create(service_account=None, execution_user="ada@example.com")
    run.execute()
    job = sent(run)
    assert job["executionUser"] == "ada@example.com"
    assert "serviceAccount" not in job
    assert not [line for line in logged() if "identity" in line]


def test_a_user_s_id_for_the_job_is_sent(project: str) -> None:
    run = create(job_id="my-{{ ds }}")
    assert run.execute()["job_id"] == "my-2026-11-22"


def test_an_id_that_is_taken_comes_with_what_to_do(cloud: Cloud) -> None:
    cloud.fault({"job_state": "JOB_STATE_FAILED"})
    with pytest.raises(NotebookJobFailedError):
        create(job_id="mine", retries=1).execute()
    again = {"ti": {"try_number": 2}, "retries": 1}
    with pytest.raises(AlreadyExistsError, match=r"409 .*already exists.* \(job_id='mine' .*{{ ti\.try_number }}"):
        create(job_id="mine", **again).execute()
    assert create(job_id="mine-{{ ti.try_number }}", **again).execute()["job_id"] == "mine-2"


def test_content_given_as_a_dict_reaches_the_service(cloud: Cloud) -> None:
    run = create(notebook=NOTEBOOK)
    result = run.execute()
    content = sent(run)["directNotebookSource"]["content"]
    assert json.loads(base64.b64decode(content)) == NOTEBOOK
    assert result["executed_notebook"].endswith("/content.ipynb")

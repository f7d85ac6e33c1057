"""No machine to be had: the job is submitted again in the same try, elsewhere, as often as was allowed."""

from __future__ import annotations

import re
import threading
import time
import uuid
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import TaskDeferred

from airflow_nbjobs.emulator.storage.model import StorageError
from airflow_nbjobs.exceptions import NoCapacityError, NotebookJobError, NotebookJobFailedError
from airflow_nbjobs.hooks import NotebookExecutionJobHook
from tests.support.cloud import Cloud
from tests.support.logged import Logged
from tests.support.papers import as_bytes, cell, notebook, task
from tests.support.task_runs import TaskRun

pytestmark = pytest.mark.usefixtures("brisk")
PAPER = notebook(cell("print(1)"))
NO_MACHINE = "us-central1-a does not have enough resources available to fulfill the request"
NO_MACHINES = [
    NO_MACHINE,
    "ZONE_RESOURCE_POOL_EXHAUSTED",
    "RESOURCE_EXHAUSTED: try later",
    "Quota 'CPUS' exceeded. Limit: 24.0 in region us-central1.",
    "No available zone found for runtime",
]
MODES = pytest.mark.parametrize("deferrable", [False, True], ids=["here", "deferred"])
HINTS = {
    NO_MACHINE: "capacity_retries",
    "ZONE_RESOURCE_POOL_EXHAUSTED": "fallback_runtime_templates",
    "Quota 'CPUS' exceeded. Limit: 24.0 in region us-central1.": "fallback_runtime_templates",
    "Constraint constraints/compute.vmExternalIpAccess violated for project 1": "A policy of the organization",
    "NOTEBOOK_RUNTIME_OUT_OF_ORGANIZATION": "notebook_runtime_out_of_org_warning",
    "Permission 'iam.serviceAccounts.actAs' denied on the account": "roles/iam.serviceAccountUser",
    "a@p does not have storage.objects.get access to the object": "roles/storage.objectViewer",
    "service-1@gcp-sa-dataform.iam.gserviceaccount.com does not exist": "services identity create",
}


@pytest.fixture(autouse=True)
def no_late_notebooks(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Look twice more for the notebook of a job that failed, but without two seconds of pauses."""
    if "is_late" not in request.fixturenames:
        monkeypatch.setattr("airflow_nbjobs.run.result._GRACE", (0.01, 0.01))


def fail(cloud: Cloud, times: int, message: str = NO_MACHINE) -> None:
    """Let the next jobs end without a notebook."""
    states = ["JOB_STATE_PENDING", "JOB_STATE_FAILED"]
    cloud.fault({"job_state": states, "status_message": message, "times": times})


def booked(cloud: Cloud) -> list[dict[str, Any]]:
    """Return each job, the oldest first."""
    return [NotebookExecutionJobHook().get_job(job["name"]).to_wire() for job in cloud.book()]


def templates(cloud: Cloud) -> list[str]:
    """Return the runtime template of each job."""
    jobs = booked(cloud)
    return [job["notebookRuntimeTemplateResourceName"].rpartition("/")[2] for job in jobs]


@MODES
def test_the_fallback_templates_are_tried_in_turn(cloud: Cloud, folder: str, deferrable: bool, logged: Logged) -> None:
    fail(cloud, 2)
    run = task(
        notebook=PAPER,
        gcs_output_uri=folder,
        fallback_runtime_templates=["{{ 21 + 21 }}", "43"],
        deferrable=deferrable,
        do_xcom_push=False,
    )
    assert run.to_its_end()["state"] == "JOB_STATE_SUCCEEDED"
    assert cloud.states() == ["FAILED", "FAILED", "SUCCEEDED"]
    assert templates(cloud) == ["1234", "42", "43"]
    told = [re.sub(r"There was no machine for \S+: ", "", line) for line in logged() if "There was no machine" in line]
    assert told == [
        f"{NO_MACHINE}. Attempt 2 of 3 follows, with runtime template '42'.",
        f"{NO_MACHINE}. Attempt 3 of 3 follows, with runtime template '43'.",
    ]


@pytest.mark.parametrize("message", NO_MACHINES)
def test_whatever_the_service_calls_it_the_job_is_submitted_again(cloud: Cloud, folder: str, message: str) -> None:
    fail(cloud, 1, message)
    task(notebook=PAPER, gcs_output_uri=folder, capacity_retries=1, do_xcom_push=False).to_its_end()
    assert cloud.states() == ["FAILED", "SUCCEEDED"]


@pytest.mark.parametrize("message", [each for each in NO_MACHINES if "RESOURCE_EXHAUSTED: " not in each])
def test_a_refused_create_uses_the_next_template_at_once(
    cloud: Cloud, folder: str, message: str, logged: Logged
) -> None:
    """Only a quota of requests makes a create wait."""
    cloud.fault({"method": "create", "status": 429, "message": message})
    run = task(notebook=PAPER, gcs_output_uri=folder, fallback_runtime_templates=["42"], do_xcom_push=False)
    assert run.to_its_end()["state"] == "JOB_STATE_SUCCEEDED"
    assert templates(cloud) == ["42"]
    assert [line for line in logged() if "Attempt 2 of 2 follows, with runtime template '42'." in line]


def test_a_refused_create_is_sent_as_often_as_allowed(
    cloud: Cloud, folder: str, monkeypatch: pytest.MonkeyPatch, logged: Logged
) -> None:
    cloud.fault({"method": "create", "status": 429, "message": NO_MACHINE, "times": 3})
    said = r"^429 .*does not have enough resources .*\(This was the last of 3 attempts; runtime templates: '1234'\.\)$"
    with pytest.raises(NoCapacityError, match=said):
        task(notebook=PAPER, gcs_output_uri=folder, capacity_retries=2).execute()
    assert cloud.states() == []
    assert [line for line in logged() if "fallback_runtime_templates" in line]


@pytest.mark.parametrize(
    ("fallbacks", "retries", "pauses"),
    [([], 2, [1, 2]), (["42"], 1, []), (["42"], 4, [2, 4]), (["1234"], 1, [1])],
    ids=["one template", "another", "the list again", "the same as another"],
)
def test_a_refused_template_is_requested_again_after_a_pause(
    cloud: Cloud,
    monkeypatch: pytest.MonkeyPatch,
    logged: Logged,
    fallbacks: list[str],
    retries: int,
    pauses: list[int],
) -> None:
    """The quota of creates is 60 a minute."""
    paused: list[int] = []

    def backoff(attempt: int) -> float:
        paused.append(attempt)
        return 0.2

    monkeypatch.setattr("airflow_nbjobs.api.pacing.backoff", backoff)
    cloud.fault({"method": "create", "status": 429, "message": NO_MACHINE, "times": retries + 1})
    began = time.monotonic()
    with pytest.raises(NoCapacityError):
        task(notebook=PAPER, fallback_runtime_templates=fallbacks, capacity_retries=retries).execute()
    assert time.monotonic() - began > 0.2 * len(pauses)
    assert paused == pauses
    assert len([line for line in logged() if "in 0.2 s." in line]) == len(pauses)


@pytest.fixture
def long_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a pause last for a while, without randomness."""
    monkeypatch.setattr("airflow_nbjobs.api.pacing.backoff", lambda _: 1.5)


@pytest.mark.usefixtures("long_pauses")
def test_a_kill_during_the_pause_sends_no_more_creates(cloud: Cloud) -> None:
    cloud.fault({"method": "create", "status": 429, "message": NO_MACHINE})
    run = task(notebook=PAPER, capacity_retries=3)
    kill = threading.Timer(0.5, run.operator.on_kill)
    kill.start()
    with pytest.raises(NotebookJobError, match="nothing is submitted"):
        run.execute()
    kill.join()
    assert cloud.requests()["create"] == {"429": 1}


@pytest.mark.usefixtures("long_pauses")
def test_no_pause_is_longer_than_the_task_may_run(cloud: Cloud) -> None:
    cloud.fault({"method": "create", "status": 429, "message": NO_MACHINE})
    run = task(notebook=PAPER, capacity_retries=3, execution_timeout=timedelta(seconds=1))
    with pytest.raises(NoCapacityError, match=r"\(It is not submitted again: execution_timeout=0:00:01 would be over"):
        run.execute()
    assert cloud.requests()["create"] == {"429": 1}


@MODES
def test_one_template_is_tried_as_often_as_allowed(cloud: Cloud, folder: str, deferrable: bool) -> None:
    fail(cloud, 3)
    run = task(notebook=PAPER, gcs_output_uri=folder, capacity_retries=2, deferrable=deferrable)
    with pytest.raises(NotebookJobFailedError, match="does not have enough resources"):
        run.to_its_end()
    assert templates(cloud) == ["1234"] * 3
    assert run.ti.xcoms["notebook_execution_job"]["attempt"] == 2


@pytest.mark.parametrize(("retries", "tried"), [(0, ["1234"]), (1, ["1234", "42"]), (None, ["1234", "42", "43", "44"])])
def test_retries_bound_attempts_and_default_to_one_per_fallback(
    cloud: Cloud, folder: str, retries: int | None, tried: list[str]
) -> None:
    fail(cloud, len(tried))
    wanted = {"fallback_runtime_templates": ["42", "43", "44"], "capacity_retries": retries}
    with pytest.raises(NotebookJobFailedError, match="does not have enough resources") as error:
        task(notebook=PAPER, gcs_output_uri=folder, **wanted).to_its_end()
    assert templates(cloud) == tried
    names = ", ".join(map(repr, tried))
    told = f" (This was the last of {len(tried)} attempts; runtime templates: {names}.)" if retries != 0 else ""
    assert str(error.value).rpartition("notebookExecutionJobs/")[2].lstrip("0123456789") == told


def test_more_retries_than_templates_begin_with_the_first_again(cloud: Cloud, folder: str) -> None:
    fail(cloud, 2)
    wanted = {"fallback_runtime_templates": ["42"], "capacity_retries": 2}
    task(notebook=PAPER, gcs_output_uri=folder, do_xcom_push=False, **wanted).to_its_end()
    assert templates(cloud) == ["1234", "42", "1234"]


def waiting_again(cloud: Cloud, folder: str, **arguments: Any) -> TaskRun:
    """Return a first try whose job got no machine, and whose second job waits for one."""
    cloud.fault({"job_state": "JOB_STATE_PENDING", "times": 2})
    wanted = {"notebook": PAPER, "gcs_output_uri": folder, "deferrable": True, "do_xcom_push": False, **arguments}
    run = task(retries=1, **wanted)
    run.defer()
    end_last(cloud)
    with pytest.raises(TaskDeferred):
        run.told()
    return run


def end_last(cloud: Cloud, state: str = "JOB_STATE_FAILED") -> None:
    """End the newest job, since there is no machine."""
    cloud.play(cloud.book()[-1]["name"], state, NO_MACHINE)


def end(cloud: Cloud, how: str) -> None:
    """Have somebody end the newest job."""
    if how == "canceled":
        end_last(cloud, "JOB_STATE_CANCELLED")
    else:
        NotebookExecutionJobHook().delete_job(cloud.book()[-1]["name"])


def again(run: TaskRun, **ti: Any) -> TaskRun:
    """Return another process of the task, to which Airflow says something else."""
    other = TaskRun(run._make)
    other.ti = replace(run.ti, xcoms={}, **ti)
    return other


def test_a_try_that_airflow_starts_twice_submits_as_often_as_one(cloud: Cloud, folder: str) -> None:
    run = waiting_again(cloud, folder, capacity_retries=1)
    twin = again(run)
    adopted = twin.defer()
    assert twin.ti.xcoms["notebook_execution_job"]["adopted"]
    end_last(cloud)
    with pytest.raises(NotebookJobFailedError, match="does not have enough resources"):
        twin.after(adopted)
    assert cloud.states() == ["FAILED", "FAILED"]


def test_a_retry_goes_on_with_the_next_template(cloud: Cloud, folder: str) -> None:
    run = waiting_again(cloud, folder, fallback_runtime_templates=["42", "43"])
    retry = again(run, try_number=2, id=uuid.uuid4())
    adopted = retry.defer()
    assert retry.ti.xcoms["notebook_execution_job"]["adopted"]
    end_last(cloud)
    assert retry.after(adopted)["state"] == "JOB_STATE_SUCCEEDED"
    assert templates(cloud) == ["1234", "42", "43"]
    labels = [job["labels"].get("nbjobs-attempt") for job in booked(cloud)]
    assert labels == [None, "1", "2"]


@pytest.mark.parametrize("ended", ["canceled", "deleted"])
def test_a_replacement_counts_as_the_same_attempt(cloud: Cloud, folder: str, ended: str) -> None:
    run = waiting_again(cloud, folder, fallback_runtime_templates=["42"])
    retry = again(run, try_number=2, id=uuid.uuid4())
    adopted = retry.defer()
    end(cloud, ended)
    fail(cloud, 1)
    with pytest.raises(NotebookJobFailedError, match="does not have enough resources"):
        retry.after(adopted)
    assert [job["labels"].get("nbjobs-attempt") for job in cloud.book()] == [None, "1", "1"]


def test_a_task_without_its_note_counts_on_from_its_job(cloud: Cloud, folder: str) -> None:
    run = waiting_again(cloud, folder, capacity_retries=1)
    name = run.ti.xcoms.pop("notebook_execution_job")["name"]
    end_last(cloud)
    with pytest.raises(NotebookJobFailedError, match="does not have enough resources"):
        run.resume("execute_complete", {"event": {"v": 1, "job_name": name, "outcome": "done"}})
    assert cloud.states() == ["FAILED", "FAILED"]


def test_ids_of_ones_own_are_used_once_each(cloud: Cloud, folder: str) -> None:
    fail(cloud, 1)
    wanted = {"capacity_retries": 1, "deterministic_job_id": True, "do_xcom_push": False}
    task(notebook=PAPER, gcs_output_uri=folder, **wanted).to_its_end()
    assert cloud.states() == ["FAILED", "SUCCEEDED"]


def test_each_attempt_has_its_own_copy_and_deletes_it(
    cloud: Cloud, folder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW__NBJOBS__STAGING_BYTES", "10")
    fail(cloud, 1)
    run = task(notebook=PAPER, gcs_output_uri=folder, capacity_retries=1, do_xcom_push=False)
    run.to_its_end()
    uris = {job["gcsNotebookSource"]["uri"] for job in booked(cloud)}
    assert len(uris) == 2
    for uri in uris:
        with pytest.raises(StorageError, match="there is no such object"):
            cloud.download(uri)


def test_by_default_nothing_is_submitted_again(cloud: Cloud, folder: str) -> None:
    fail(cloud, 1)
    with pytest.raises(NotebookJobFailedError):
        task(notebook=PAPER, gcs_output_uri=folder).to_its_end()
    assert cloud.states() == ["FAILED"]


@pytest.mark.parametrize("state", ["CANCELLED", "EXPIRED", "PARTIALLY_SUCCEEDED"])
def test_a_job_ended_while_awaiting_a_machine_stays_ended(cloud: Cloud, folder: str, state: str) -> None:
    cloud.fault({"job_state": "JOB_STATE_PENDING"})
    run = task(notebook=PAPER, gcs_output_uri=folder, capacity_retries=3, deferrable=True)
    run.defer()
    end_last(cloud, f"JOB_STATE_{state}")
    with pytest.raises(NotebookJobFailedError, match="does not have enough resources"):
        run.told()
    assert cloud.states() == [state]


@pytest.mark.parametrize(("outcome", "seconds"), [("timeout", -1), ("timeout", 60), ("done", -1)])
def test_when_the_time_is_over_nothing_is_submitted_any_more(
    cloud: Cloud, folder: str, outcome: str, seconds: int
) -> None:
    """The clocks of the triggerer and the worker may differ by a minute."""
    cloud.fault({"job_state": "JOB_STATE_PENDING"})
    bounded = {"execution_timeout": timedelta(minutes=5), "deferrable": True, "capacity_retries": 3}
    run = task(notebook=PAPER, gcs_output_uri=folder, **bounded)
    run.defer()
    end_last(cloud)
    deadline = datetime.now(UTC) + timedelta(seconds=seconds)
    said = r"does not have enough resources .* \(It is not submitted again: execution_timeout=0:05:00 is over\.\)"
    with pytest.raises(NotebookJobFailedError, match=said):
        run.told(outcome, deadline=deadline.isoformat())
    assert cloud.states() == ["FAILED"]


@pytest.mark.parametrize("ended", ["canceled", "deleted"])
def test_after_the_timeout_an_ended_job_is_not_replaced(cloud: Cloud, folder: str, ended: str) -> None:
    bounded = {"execution_timeout": timedelta(minutes=5), "capacity_retries": 3}
    retry = again(waiting_again(cloud, folder, **bounded), try_number=2, id=uuid.uuid4())
    retry.defer()
    end(cloud, ended)
    with pytest.raises(NotebookJobError, match=r"CANCELLED .*execution_timeout=0:05:00 is over|no longer exists"):
        retry.told("timeout")
    assert cloud.states() == ["FAILED", "CANCELLED"]


def test_after_the_timeout_no_create_follows_a_refused_one(cloud: Cloud, folder: str) -> None:
    cloud.fault({"method": "create", "status": 429, "message": NO_MACHINE})
    bounded = {"execution_timeout": timedelta(minutes=5), "fallback_runtime_templates": ["42"]}
    ti = {"start_date": datetime.now(UTC) - timedelta(minutes=6)}
    with pytest.raises(NoCapacityError, match=r"enough resources .* \(It is not submitted again: execution_timeout="):
        task(notebook=PAPER, gcs_output_uri=folder, ti=ti, **bounded).execute()
    assert cloud.states() == []


def test_another_failure_is_not_submitted_again(cloud: Cloud, folder: str) -> None:
    fail(cloud, 1, "The disk is full.")
    with pytest.raises(NotebookJobFailedError, match=r"The disk is full\."):
        task(notebook=PAPER, gcs_output_uri=folder, capacity_retries=3).to_its_end()
    assert cloud.states() == ["FAILED"]


@pytest.mark.parametrize("is_late", [False, True])
def test_a_job_with_a_failed_cell_is_not_submitted_again(cloud: Cloud, folder: str, is_late: bool) -> None:
    """Its executed notebook may show a moment after its state."""
    cloud.fault({"job_state": "JOB_STATE_RUNNING"})
    run = task(notebook=PAPER, gcs_output_uri=folder, capacity_retries=3, wait_for_completion=False)
    name = run.execute()["name"]
    error = {"output_type": "error", "ename": "Exhausted", "evalue": "RESOURCE_EXHAUSTED", "traceback": []}
    executed = notebook({**cell("call()"), "outputs": [error], "execution_count": 1})
    uri = f"{folder}/{name.rpartition('/')[2]}/content.ipynb"
    cloud.play(name, "JOB_STATE_FAILED", "RESOURCE_EXHAUSTED")
    threading.Timer(1.0 * is_late, cloud.upload, (uri, as_bytes(executed))).start()
    with pytest.raises(NotebookJobFailedError, match="Cell 1: Exhausted: RESOURCE_EXHAUSTED"):
        run.told(state="JOB_STATE_FAILED")
    assert cloud.states() == ["FAILED"]


def test_a_job_without_a_readable_notebook_is_not_submitted_again(
    cloud: Cloud, nobody: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    fail(cloud, 1)
    run = task(notebook=PAPER, capacity_retries=3)
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", nobody)
    said = r"\(It is not submitted again, since cells may have run: .*got no answer"
    with pytest.raises(NotebookJobFailedError, match=said):
        run.to_its_end()
    assert cloud.states() == ["FAILED"]


@pytest.mark.parametrize("message", HINTS)
def test_a_failure_of_the_services_comes_with_what_to_do(
    cloud: Cloud, folder: str, message: str, logged: Logged
) -> None:
    fail(cloud, 1, f'<p>{message} <a href="https://cloud.google.com/x">Learn more</a></p>')
    with pytest.raises(NotebookJobFailedError) as error:
        task(notebook=PAPER, gcs_output_uri=folder).to_its_end()
    assert f"{message} Learn more. Notebook job" in str(error.value)
    assert [line for line in logged() if HINTS[message] in line] != []


@pytest.mark.parametrize("message", ["NOTEBOOK_RUNTIME_OUT_OF_ORGANIZATION", "constraints/x denied by org policy"])
def test_a_refusal_of_the_create_comes_with_what_to_do(cloud: Cloud, message: str, logged: Logged) -> None:
    cloud.fault({"method": "create", "status": 400, "message": message})
    with pytest.raises(Exception, match=message):
        task(notebook=PAPER).execute()
    assert [line for line in logged() if HINTS.get(message, "A policy of the organization") in line] != []


def test_any_other_failure_comes_without_advice(cloud: Cloud, folder: str, logged: Logged) -> None:
    fail(cloud, 1, "The disk is full.")
    with pytest.raises(NotebookJobFailedError):
        task(notebook=PAPER, gcs_output_uri=folder).to_its_end()
    advice = ("capacity_retries", "policy", "organization", "serviceAccountUser", "Enable")
    assert [line for line in logged() if any(word in line for word in advice)] == []

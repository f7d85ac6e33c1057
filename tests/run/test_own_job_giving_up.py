"""A task that cannot learn what its job does gives up, and says what that means for the job."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from airflow_nbjobs.exceptions import InvalidNotebookJobError, NbjobsError, NotebookJobError
from tests.support.cloud import Cloud
from tests.support.logged import Logged
from tests.support.task_runs import TaskRun, create
from tests.support.waiting import eventually

CASES = pytest.mark.parametrize(
    ("retries", "kill", "said", "became"),
    [
        (1, "cancel", "keeps running, and the retry re-attaches to it", "RUNNING"),
        (0, "cancel", "was canceled, since no retry is left", "CANCELLED"),
        (0, "delete", "was deleted, since no retry is left", "CANCELLED"),
        (0, "leave", r"keeps running, since kill='leave', since no retry is left", "RUNNING"),
    ],
    ids=["with a retry", "without", "without, delete", "without, leave"],
)


@pytest.fixture
def looks(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cloud]:
    """Let a job run for good, and nobody wait between two looks that fail."""
    for module in ("retries", "auth"):
        monkeypatch.setattr(f"airflow_nbjobs.api.{module}.backoff", lambda *_: 0.0)
    cloud.fault({"job_state": "JOB_STATE_RUNNING"})
    yield cloud
    cloud.clear_faults()


def task(retries: int, kill: str, *, run_id: str = "manual", **arguments: Any) -> TaskRun:
    """Return the first try of a task."""
    return create(retries=retries, kill=kill, ti={"run_id": run_id}, **arguments)


@CASES
@pytest.mark.parametrize(("status", "times"), [(403, 1), (503, 30)], ids=["refused", "away for too long"])
def test_an_unreadable_job_goes_on_while_a_retry_is_left(
    looks: Cloud, status: int, times: int, retries: int, kill: str, said: str, became: str
) -> None:
    looks.fault({"method": "get", "status": status, "times": times})
    with pytest.raises(NotebookJobError, match=rf"{status} .*notebookExecutionJobs/\d+ {said}"):
        task(retries, kill).execute()
    assert looks.states() == [became]


@CASES
def test_a_trigger_error_leaves_the_job_to_the_retry(
    looks: Cloud, retries: int, kill: str, said: str, became: str
) -> None:
    run = deferred(retries, kill)
    with pytest.raises(NotebookJobError, match=rf"could not ask the service .* {said}"):
        run.told("error")
    assert looks.states() == [became]


def test_a_job_that_cannot_be_ended_may_still_run(looks: Cloud) -> None:
    for method in ("get", "cancel"):
        looks.fault({"method": method, "status": 403, "times": 1000})
    with pytest.raises(
        NotebookJobError, match=r"notebookExecutionJobs/\d+ could not be ended and may still run \(.*403"
    ):
        task(0, "cancel").execute()
    assert looks.states() == ["RUNNING"]


def deferred(retries: int, kill: str, *, run_id: str = "manual") -> TaskRun:
    """Return a task whose trigger waits for its job."""
    run = task(retries, kill, run_id=run_id, deferrable=True)
    run.defer()
    return run


@CASES
def test_a_refused_event_leaves_the_job_to_the_retry(
    looks: Cloud, retries: int, kill: str, said: str, became: str
) -> None:
    run = deferred(retries, kill)
    with pytest.raises(NotebookJobError, match=rf"is not understood.*notebookExecutionJobs/\d+ {said}"):
        run.resume("execute_complete", {"event": {"v": 99}})
    assert looks.states() == [became]


def test_a_task_without_its_note_uses_the_event(looks: Cloud, monkeypatch: pytest.MonkeyPatch, logged: Logged) -> None:
    """Airflow's API server answers the task that is resumed with an error."""
    run = deferred(0, "cancel")
    name = run.job_name

    def broken(**_: Any) -> Any:
        raise RuntimeError("API_SERVER_ERROR")

    monkeypatch.setattr(run.ti, "xcom_pull", broken)
    event = {"v": 1, "job_name": name, "outcome": "error"}
    with pytest.raises(NotebookJobError, match="was canceled, since no retry is left"):
        run.resume("execute_complete", {"event": event})
    assert looks.states() == ["CANCELLED"]
    assert [line for line in logged() if "note of its job: API_SERVER_ERROR" in line]


def test_the_operation_of_another_job_is_not_cancelled(looks: Cloud) -> None:
    """An event went through a database, and a task without a note of its own has nothing else."""
    looks.fault({"job_state": "JOB_STATE_RUNNING"})
    victim, run = deferred(0, "cancel", run_id="another"), deferred(0, "cancel")
    others = victim.ti.xcoms["notebook_execution_job"]["operation"]
    name = run.ti.xcoms.pop("notebook_execution_job")["name"]
    event = {"v": 1, "job_name": name, "operation_name": others, "outcome": "error"}
    with pytest.raises(NotebookJobError, match="was canceled, since no retry is left"):
        run.resume("execute_complete", {"event": event})
    assert looks.states() == ["RUNNING", "CANCELLED"]


def test_an_event_about_another_project_is_refused(looks: Cloud) -> None:
    run = deferred(1, "cancel")
    run.ti.xcoms.clear()
    looks.reset_requests()
    event = {"v": 1, "job_name": "projects/other/locations/us-central1/notebookExecutionJobs/1", "outcome": "done"}
    with pytest.raises(NotebookJobError, match="the task's jobs are in"):
        run.resume("execute_complete", {"event": event})
    assert looks.requests() == {}


@pytest.mark.parametrize("way", ["on_kill", "deferral timeout"])
def test_a_broken_connection_names_the_job_that_may_run(
    looks: Cloud, way: str, monkeypatch: pytest.MonkeyPatch, logged: Logged
) -> None:
    run = deferred(0, "cancel")
    monkeypatch.delenv("NBJOBS_EMULATOR_HOST")
    monkeypatch.setenv(
        "AIRFLOW_CONN_GOOGLE_CLOUD_DEFAULT", '{"conn_type": "google_cloud_platform", "extra": {"keyfile_dict": "{}"}}'
    )
    if way == "on_kill":
        run.operator._hook = None
        run.operator.on_kill()
    else:
        with pytest.raises(Exception, match="Trigger"):
            run.resume("__fail__", {"error": "Trigger timeout"})
    assert [line for line in logged() if "could not be ended and may still run" in line]


@pytest.mark.parametrize(
    ("retries", "said"),
    [
        (1, "keeps running, and the retry re-attaches"),
        (0, r"could not be ended and may still run \(.*since no retry is left"),
    ],
)
def test_an_unresolved_lost_answer_is_reported(
    cloud: Cloud, retries: int, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("airflow_nbjobs.run.submit.LOOKS", (0.01,))
    cloud.fault({"method": "create", "drop": True, "phase": "after"})
    cloud.fault({"method": "list", "status": 403, "times": 3 - retries})
    with pytest.raises(NotebookJobError, match=f"If there is a job: .*{said}"):
        task(retries, "cancel").execute()
    assert len(cloud.book()) == 1


def test_a_kill_during_the_look_creates_no_second_job(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("airflow_nbjobs.run.submit.LOOKS", (0.5,))
    cloud.fault({"method": "create", "drop": True})
    run = task(0, "cancel")
    with ThreadPoolExecutor(1) as pool:
        working = pool.submit(run.execute)
        eventually(lambda: cloud.requests().get("create"))
        run.operator.on_kill()
        with pytest.raises(NotebookJobError, match="nothing is submitted"):
            working.result(30)
    assert cloud.book() == []


def test_a_replacement_takes_the_next_id_of_its_generation(cloud: Cloud) -> None:
    """The next retry begins with the first id again, and must meet both."""
    cloud.fault({"job_state": "JOB_STATE_RUNNING"})
    first = task(2, "cancel", deterministic_job_id=True, deferrable=True)
    first.defer()
    (job,) = cloud.book()
    again = {"try_number": 2, "run_id": first.ti.run_id, "start_date": first.ti.start_date}
    second = create(retries=2, deterministic_job_id=True, ti=again)
    with ThreadPoolExecutor(1) as pool:
        working = pool.submit(second.execute)
        eventually(lambda: "notebook_execution_job" in second.ti.xcoms)
        cloud.play(job["name"], "JOB_STATE_CANCELLED")
        assert working.result(30)["state"] == "JOB_STATE_SUCCEEDED"
    ids = [each["id"].rpartition("-")[0][-2:] + each["id"].rpartition("-")[2] for each in cloud.book()]
    assert ids == ["-10", "-11"]


@pytest.fixture
def policy() -> Any:
    """Return a retry policy that allows no retry on a failure of ours."""
    policies = pytest.importorskip("airflow.sdk.definitions.retry_policy", reason="of Airflow 3.3 and later")
    rule = policies.RetryRule(exception=NbjobsError, action=policies.RetryAction.FAIL)
    return policies.ExceptionRetryPolicy(rules=[rule])


def test_a_retry_policy_that_fails_the_task_ends_its_job(looks: Cloud, policy: Any) -> None:
    looks.fault({"method": "get", "status": 403})
    with pytest.raises(NotebookJobError, match="was canceled, since the task's retry policy allows no retry"):
        task(3, "cancel", retry_policy=policy).execute()
    assert looks.states() == ["CANCELLED"]


def test_a_retry_policy_that_fails_the_task_ends_earlier_jobs(looks: Cloud, policy: Any) -> None:
    task(3, "cancel", wait_for_completion=False).execute()
    retry = task(3, "cancel", retry_policy=policy, notebook="gs://{{ 'notebooks' }}/")
    retry.ti.try_number = 2
    with pytest.raises(InvalidNotebookJobError):
        retry.execute()
    assert looks.states() == ["CANCELLED"]


def test_a_retry_policy_sees_the_error_that_airflow_will_see(looks: Cloud, policy: Any) -> None:
    """The operator raises its errors without their causes: a policy must not be asked with them."""
    seen: list[Any] = []

    class ByCause(type(policy)):  # type: ignore[misc]
        def evaluate(self, exception: BaseException, **known: Any) -> Any:
            seen.append((exception.__cause__, exception.__context__))
            return super().evaluate(exception=exception, **known)

    looks.fault({"method": "get", "status": 403})
    with pytest.raises(NotebookJobError):
        task(3, "cancel", retry_policy=ByCause(rules=policy.rules)).execute()
    assert seen == [(None, None)]


def test_a_retry_policy_that_raises_leaves_the_job_running(looks: Cloud, policy: Any) -> None:
    """Airflow goes by the number of retries then."""
    policy.rules = None
    looks.fault({"method": "get", "status": 403})
    with pytest.raises(NotebookJobError, match="keeps running, and the retry re-attaches to it"):
        task(3, "cancel", retry_policy=policy).execute()
    assert looks.states() == ["RUNNING"]

"""A worker that is killed: Airflow calls on_kill, lets the task go on for five seconds, and then ends the process."""

from __future__ import annotations

import re
import signal
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowTaskTimeout, TaskDeferred
from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance

from airflow_nbjobs.exceptions import NotebookJobError
from airflow_nbjobs.hooks import NotebookExecutionJobHook
from airflow_nbjobs.operators import (
    GetNotebookExecutionJobOperator,
    ListNotebookExecutionJobsOperator,
)
from airflow_nbjobs.sensors import NotebookExecutionJobSensor
from tests.support.cloud import Cloud
from tests.support.logged import Logged
from tests.support.task_runs import JOB, TaskRun, create, submit
from tests.support.waiting import eventually


def test_a_killed_task_does_not_replace_its_cancelled_job(cloud: Cloud) -> None:
    """It had re-attached to the job, and a job that was adopted and is CANCELLED is replaced otherwise."""
    cloud.fault({"job_state": "JOB_STATE_RUNNING"})
    first = create(retries=1, wait_for_completion=False)
    killed = create(retries=1, ti={"try_number": 2, "start_date": first.ti.start_date})
    first.execute()  # its worker dies while it waits

    killed.when_it_has_its_job(killed.operator.on_kill)
    with pytest.raises(NotebookJobError, match="nothing is submitted"):
        killed.execute()

    (job,) = cloud.book()
    assert job["state"] in {"JOB_STATE_CANCELLING", "JOB_STATE_CANCELLED"}
    assert job["labels"]["nbjobs-try"] == "1"


@pytest.mark.usefixtures("brisk")
def test_a_job_that_disappears_after_adoption_is_replaced(cloud: Cloud) -> None:
    """The task was cleared while it ran, and the old worker ends its job with ``kill="delete"``."""
    cloud.fault({"job_state": "JOB_STATE_RUNNING"})
    create(retries=1, wait_for_completion=False).execute()
    second = create(retries=1, ti={"try_number": 2})
    second.when_it_has_its_job(lambda: NotebookExecutionJobHook().delete_job(second.job_name))
    assert second.execute()["state"] == "JOB_STATE_SUCCEEDED"
    deleted, made = cloud.book()
    assert (deleted["deleted"], made["state"]) == (True, "JOB_STATE_SUCCEEDED")


@pytest.fixture
def killed(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Kill a task that holds a running job, where Airflow says that its state is this one; return the job's.

    Who would say so is the supervisor of a worker, which is not there (tests/system/test_kills.py has one).
    """

    def kill(state: Callable[[], str | None], retries: int = 1) -> str:
        cloud.fault({"job_state": "JOB_STATE_RUNNING"})
        run = create(retries=retries, deferrable=True)
        monkeypatch.setattr(
            RuntimeTaskInstance, "get_task_states", lambda **_: {run.ti.run_id: {run.ti.task_id: state()}}
        )
        with pytest.raises(TaskDeferred):  # any moment after the submission is as good
            run.execute()
        run.operator.on_kill()
        (job,) = cloud.book()
        return str(job["state"].removeprefix("JOB_STATE_"))

    return kill


@pytest.mark.parametrize("state", ["failed", "success", "skipped", "removed", "restarting", "deferred", None])
def test_a_task_that_airflow_has_given_up_ends_its_job(killed: Callable[..., str], state: str | None) -> None:
    assert killed(lambda: state) in {"CANCELLING", "CANCELLED"}


@pytest.mark.parametrize("state", ["running", "up_for_retry", "up_for_reschedule", "queued", "scheduled"])
def test_a_worker_that_shuts_down_leaves_the_job_running(
    killed: Callable[..., str], state: str, logged: Logged
) -> None:
    assert killed(lambda: state) == "RUNNING"
    assert [line for line in logged() if "still wants the task" in line and "keeps running" in line]


def test_without_a_retry_the_job_ends_with_its_process(killed: Callable[..., str]) -> None:
    assert killed(lambda: "running", retries=0) in {"CANCELLING", "CANCELLED"}


def test_an_execution_timeout_ends_the_job_of_a_running_task(killed: Callable[..., str]) -> None:
    def time_out() -> None:
        raise AirflowTaskTimeout

    try:
        time_out()
    except AirflowTaskTimeout:
        assert killed(lambda: "running") in {"CANCELLING", "CANCELLED"}


def test_without_an_answer_the_job_ends(killed: Callable[..., str]) -> None:
    is_over = threading.Event()
    try:
        assert killed(lambda: str(is_over.wait(30))) in {"CANCELLING", "CANCELLED"}
    finally:
        is_over.set()


@pytest.mark.parametrize("phase", ["before", "after"])
def test_a_kill_during_the_create_finds_and_ends_the_job(cloud: Cloud, phase: str) -> None:
    cloud.fault({"job_state": "JOB_STATE_RUNNING"})
    cloud.fault({"method": "create", "phase": phase, "delay_seconds": 1.5})
    run = create(retries=1)
    with ThreadPoolExecutor(1) as pool:
        task = pool.submit(run.execute)
        eventually(lambda: cloud.faults()[1]["met"] == 1)
        run.operator.on_kill()
        with pytest.raises(NotebookJobError, match="The task was killed"):
            task.result(30)
    assert cloud.states() == ["CANCELLED"]


def test_a_kill_while_waiting_for_quota_creates_nothing(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("airflow_nbjobs.api.retries.queue_pause", lambda *_: 1.0)
    cloud.fault({"method": "create", "status": 429})
    run = create(retries=1)
    with ThreadPoolExecutor(1) as pool:
        task = pool.submit(run.execute)
        eventually(lambda: cloud.faults()[0]["met"] == 1)
        run.operator.on_kill()
        with pytest.raises(NotebookJobError, match="nothing is submitted"):
            task.result(30)
    assert cloud.book() == []


@pytest.fixture
def held(cloud: Cloud) -> TaskRun:
    """Return a task that holds a running job, which Airflow is about to kill."""
    cloud.fault({"job_state": "JOB_STATE_RUNNING"})
    run = create(deferrable=True)
    run.defer()
    return run


def kill(run: TaskRun) -> float:
    """Call on_kill, and return the seconds that it took."""
    begun = time.monotonic()
    run.operator.on_kill()
    return time.monotonic() - begun


@pytest.mark.parametrize("seconds", [90.0, 0.5])
def test_a_kill_ends_in_time_though_the_service_is_slow(
    cloud: Cloud, held: TaskRun, seconds: float, logged: Logged
) -> None:
    """Airflow ends the process five seconds after it has called on_kill: by then the log says what became of it."""
    cloud.fault({"method": "cancel", "delay_seconds": seconds, "times": 10})
    cloud.fault({"method": "get", "delay_seconds": min(seconds, 2.0), "times": 10})
    try:
        assert kill(held) < 30
        said = "was canceled" if seconds < 5 else "may still run"
        assert [line for line in logged() if "The task is killed" in line and said in line]
        assert (cloud.states() == ["CANCELLED"]) is (seconds < 5)
    finally:
        cloud.clear_faults()


def test_a_kill_ends_in_time_without_a_token(held: TaskRun, monkeypatch: pytest.MonkeyPatch, logged: Logged) -> None:
    """google-auth has a time-out of its own, and that is two minutes."""
    is_over = threading.Event()
    monkeypatch.setattr(held.operator.hook, "new_client", lambda _: is_over.wait(90))
    try:
        assert kill(held) < 30
    finally:
        is_over.set()
    assert [line for line in logged() if "could not be ended in time and may still run" in line]


@pytest.mark.parametrize("trouble", [{"drop": True}, {"status": 503}, {"status": 429}], ids=repr)
def test_a_kill_bears_what_passes(cloud: Cloud, held: TaskRun, trouble: dict[str, Any]) -> None:
    cloud.fault({"method": "cancel", "times": 2, **trouble})
    kill(held)
    assert cloud.states() == ["CANCELLED"]


def test_a_cancelled_job_that_cannot_be_read_counts_as_cancelled(cloud: Cloud, held: TaskRun, logged: Logged) -> None:
    cloud.fault({"method": "get", "status": 403})
    kill(held)
    assert [line for line in logged() if "was canceled, but its state could not be read afterwards (403" in line]
    assert cloud.states() == ["CANCELLED"]


def test_a_kill_right_after_a_resume_ends_the_job(cloud: Cloud, held: TaskRun) -> None:
    """It has not read yet which job it holds."""
    resumed = held._new()

    def and_be_killed(**_: Any) -> None:
        resumed.on_kill()
        raise AirflowTaskTimeout

    held.ti.xcom_pull = and_be_killed
    with pytest.raises(AirflowTaskTimeout):
        resumed.resume_execution("execute_complete", {"event": {"v": 1}}, held.context)
    assert cloud.states() == ["CANCELLED"]


@pytest.mark.parametrize(("phase", "seconds"), [("before", 1.5), ("after", 6.0)])
def test_the_kill_itself_finds_a_create_in_flight(cloud: Cloud, phase: str, seconds: float, logged: Logged) -> None:
    """The thread that has sent it may not live to read the answer."""
    cloud.fault({"job_state": "JOB_STATE_RUNNING"})
    cloud.fault({"method": "create", "phase": phase, "delay_seconds": seconds})
    run = create(retries=1)
    with ThreadPoolExecutor(1) as pool:
        task = pool.submit(run.execute)
        eventually(lambda: cloud.faults()[1]["met"] == 1)
        kill(run)
        assert cloud.states() == ["CANCELLED"]
        assert [line for line in logged() if re.search("The task is killed: .* was canceled", line)]
        with pytest.raises(NotebookJobError, match="The task was killed"):
            task.result(30)


def test_a_mapped_task_is_asked_for_by_its_index(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    """Airflow answers with `{task_id}_{map_index}`: `RuntimeTaskInstance.get_task_states`."""
    cloud.fault({"job_state": "JOB_STATE_RUNNING"})
    run = create(retries=1, deferrable=True, ti={"map_index": 3})
    states = {"report": "failed", "report_2": "failed", "report_3": "running"}
    monkeypatch.setattr(RuntimeTaskInstance, "get_task_states", lambda **_: {run.ti.run_id: states})
    run.defer()
    kill(run)
    assert cloud.states() == ["RUNNING"]


def killed_by_its_worker(run: TaskRun) -> None:
    """Have Airflow kill the task when it has its job."""
    run.defer()
    run.operator.on_kill()


def timed_out_while_deferred(run: TaskRun) -> None:
    """Have Airflow end the deferral, and resume the task only to fail it."""
    run.defer()
    with pytest.raises(Exception, match="Trigger timeout"):
        run.resume("__fail__", {"error": "Trigger timeout"})


def timed_out_in_the_worker(run: TaskRun) -> None:
    """Have a signal interrupt the wait, as Airflow does when ``execution_timeout`` is over, and call on_kill."""

    def interrupt(*_: object) -> None:
        raise AirflowTaskTimeout

    before = signal.signal(signal.SIGALRM, interrupt)
    run.when_it_has_its_job(lambda: signal.setitimer(signal.ITIMER_REAL, 0.3))
    try:
        run.execute()
    except AirflowTaskTimeout:
        run.operator.on_kill()
    else:
        pytest.fail("the job was over before its time")
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@pytest.mark.parametrize(
    ("kill", "state", "is_deleted"),
    [("cancel", "CANCELLED", False), ("delete", "CANCELLED", True), ("leave", "RUNNING", False)],
)
@pytest.mark.parametrize("end", [killed_by_its_worker, timed_out_while_deferred, timed_out_in_the_worker])
def test_the_kill_policy_decides_what_happens_to_the_job(
    cloud: Cloud, end: Callable[[TaskRun], None], kill: Any, state: str, is_deleted: bool
) -> None:
    cloud.fault({"job_state": "JOB_STATE_RUNNING"})
    deferrable = end is not timed_out_in_the_worker
    run = create(kill=kill, deferrable=deferrable)
    end(run)
    (job,) = cloud.book()
    assert (job["state"], job["deleted"]) == (f"JOB_STATE_{state}", is_deleted)


def test_a_process_told_to_end_creates_no_job(cloud: Cloud, monkeypatch: pytest.MonkeyPatch, logged: Logged) -> None:
    """It waits for quota. ``running`` may be the state of the next try, since Airflow took this process for dead."""
    monkeypatch.setattr("airflow_nbjobs.api.retries.queue_pause", lambda *_: 1.0)
    cloud.fault({"method": "create", "status": 429, "times": 1})
    first = create(retries=1, wait_for_completion=False)
    states = {first.ti.run_id: {first.ti.task_id: "running"}}
    monkeypatch.setattr(RuntimeTaskInstance, "get_task_states", lambda **_: states)
    with ThreadPoolExecutor(1) as pool:
        task = pool.submit(first.execute)
        eventually(lambda: cloud.faults()[0]["met"] == 1)
        first.operator.on_kill()
        with pytest.raises(NotebookJobError, match="nothing is submitted"):
            task.result(30)
    assert cloud.book() == []
    assert [line for line in logged() if "still wants the task" in line and "otherwise a retry follows" in line]


def test_a_process_told_to_end_goes_on_with_a_create_under_way(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch, logged: Logged
) -> None:
    cloud.fault({"method": "create", "delay_seconds": 2, "times": 1})
    run = create(retries=1)
    states = {run.ti.run_id: {run.ti.task_id: "running"}}
    monkeypatch.setattr(RuntimeTaskInstance, "get_task_states", lambda **_: states)
    with ThreadPoolExecutor(1) as pool:
        task = pool.submit(run.execute)
        eventually(lambda: cloud.faults()[0]["met"] == 1)
        run.operator.on_kill()
        assert task.result(30)["state"] == "JOB_STATE_SUCCEEDED"
    assert cloud.states() == ["SUCCEEDED"]
    (told,) = [line for line in logged() if "still wants the task" in line]
    assert told.endswith("has created a job, it goes on with that job; otherwise a retry follows.")


def test_a_timeout_that_interrupts_a_kill_ends_the_job(cloud: Cloud) -> None:
    """The process ends after the error, and with it the thread that the interrupted kill has started."""
    cloud.fault({"job_state": "JOB_STATE_RUNNING"})
    cloud.fault({"method": "cancel", "delay_seconds": 1.5, "times": 1})
    run = create()

    def interrupt(*_: object) -> None:
        raise AirflowTaskTimeout

    def and_be_killed() -> None:
        signal.setitimer(signal.ITIMER_REAL, 0.5)
        run.operator.on_kill()

    run.when_it_has_its_job(and_be_killed)
    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        with pytest.raises(AirflowTaskTimeout, match=r"has passed: .*notebookExecutionJobs/\d+ was canceled"):
            run.execute()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@pytest.mark.parametrize(
    ("operator", "arguments"),
    [(GetNotebookExecutionJobOperator, {"job_name": "x"}), (ListNotebookExecutionJobsOperator, {})],
)
def test_killing_a_reading_operator_ends_nothing(
    cloud: Cloud, held: TaskRun, operator: Any, arguments: dict[str, Any]
) -> None:
    if arguments:
        arguments = {"job_name": held.job_name}
    reads = TaskRun(lambda: operator(task_id="read", location=JOB["location"], **arguments))
    assert "JOB_STATE_RUNNING" in str(reads.execute())
    kill(reads)
    assert cloud.states() == ["RUNNING"]


def test_killing_a_sensor_leaves_its_job_running(cloud: Cloud) -> None:
    cloud.fault({"job_state": "JOB_STATE_RUNNING"})
    made = submit()
    waits = TaskRun(
        lambda: NotebookExecutionJobSensor(
            task_id="wait", job_name=made["name"], location=JOB["location"], deferrable=True
        )
    )
    deferral = waits.defer()
    assert deferral.trigger.serialize()[1]["kill"] == "leave"
    waits.operator.on_kill()
    assert cloud.states() == ["RUNNING"]


def test_a_kill_before_the_resume_ends_the_job(cloud: Cloud, held: TaskRun, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its templates are rendered then, or the Google provider is imported: nothing can be ended yet."""
    held.operator = held._new()
    held.operator.render_template_fields(held.context)
    held.operator.on_kill()
    with pytest.raises(NotebookJobError, match=r"The task was killed: .* was canceled"):
        held.operator.resume_execution("execute_complete", {"event": {"v": 1}}, held.context)
    assert cloud.states() == ["CANCELLED"]


def test_a_kill_while_the_hook_is_made_ends_the_job(
    cloud: Cloud, held: TaskRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    resumed = held._new()
    make = NotebookExecutionJobHook.__init__

    def and_be_killed(hook: NotebookExecutionJobHook, **known: Any) -> None:
        monkeypatch.setattr(NotebookExecutionJobHook, "__init__", make)
        resumed.on_kill()
        make(hook, **known)

    monkeypatch.setattr(NotebookExecutionJobHook, "__init__", and_be_killed)
    with pytest.raises(NotebookJobError, match=r"The task was killed: .* was canceled"):
        resumed.resume_execution("execute_complete", {"event": {"v": 1}}, held.context)
    assert cloud.states() == ["CANCELLED"]


def test_a_retry_killed_before_it_executes_ends_earlier_jobs(cloud: Cloud) -> None:
    cloud.fault({"job_state": "JOB_STATE_RUNNING"})
    create(wait_for_completion=False).execute()
    retry = create(retries=1, ti={"try_number": 2})
    retry.operator.render_template_fields(retry.context)
    retry.operator.on_kill()
    with pytest.raises(NotebookJobError, match=r"The task was killed: .* was canceled"):
        retry.operator.execute(retry.context)
    assert cloud.states() == ["CANCELLED"]


@pytest.mark.parametrize("kill", ["cancel", "delete"])
def test_a_kill_before_a_read_shows_the_job_ends_it(cloud: Cloud, kill: str) -> None:
    cloud.fault({"job_state": "JOB_STATE_RUNNING"})
    run = create(kill=kill, deferrable=True)

    def and_be_killed() -> None:
        cloud.fault({"method": "get", "status": 404})
        run.operator.on_kill()

    run.when_it_has_its_job(and_be_killed)
    with pytest.raises(NotebookJobError):
        run.execute()
    assert cloud.states() == ["CANCELLED"]

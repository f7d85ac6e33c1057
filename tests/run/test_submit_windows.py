"""Moments in which a second job could be made, or one be left: what is looked at then."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from airflow_nbjobs.api.client import Client
from airflow_nbjobs.api.endpoint import Endpoint
from airflow_nbjobs.exceptions import AlreadyExistsError, ApiError, LostAnswerError, NbjobsError
from airflow_nbjobs.run.end_job import abandon
from airflow_nbjobs.run.identity import TaskIdentity, identify, request_hash
from tests.support.asking import TASK, Asking, clear, parent, retry, wanted_job
from tests.support.emulators import using

nbjobs_emulator_session = using("lasting")

NO_MACHINE = "us-central1-a does not have enough resources available to fulfill the request"

LONG_AGO = replace(TASK, run_started=datetime.now(UTC) - timedelta(hours=1))


@pytest.mark.parametrize("later", [timedelta(seconds=1), timedelta(hours=1)], ids=str)
@pytest.mark.parametrize("state", ["RUNNING", "SUCCEEDED"])
def test_a_recreated_run_adopts_nothing_of_the_deleted_one(asking: Asking, later: timedelta, state: str) -> None:
    asking.next_job_is(state)
    asking.ask()
    again = replace(TASK, run_started=TASK.run_started + later)
    assert not asking.ask(retry(again)).is_adopted


def begun_now(task: TaskIdentity = TASK) -> TaskIdentity:
    """Return the task in a run of the same id that begins now."""
    return replace(task, run_started=datetime.now(UTC))


@pytest.mark.parametrize("has_own_ids", [False, True])
@pytest.mark.parametrize("late_try", [TASK, retry()])
def test_a_run_made_again_ends_what_the_deleted_one_left(
    asking: Asking, late_try: TaskIdentity, has_own_ids: bool
) -> None:
    ids = late_try.job_ids if has_own_ids else lambda: (None,)
    asking.ask(late_try, job_ids=ids())
    asking.ask(begun_now(), job_ids=ids())
    assert [state[:6] for state in asking.states()] == ["CANCEL", "RUNNIN"]


def test_a_late_first_try_of_a_deleted_run_ends_nothing(asking: Asking) -> None:
    asking.ask(begun_now())
    asking.ask(replace(TASK, instance="another"))
    assert asking.states()[0] == "RUNNING"


def test_a_late_retry_of_a_deleted_run_ends_nothing(asking: Asking) -> None:
    asking.ask(begun_now())
    asking.ask(retry(LONG_AGO))
    assert asking.states()[0] == "RUNNING"


def test_a_killed_try_of_a_deleted_run_ends_nothing(asking: Asking) -> None:
    """It was waiting for the quota, and had no job yet, when its run was deleted and made again."""
    asking.ask(begun_now())
    wanted = identify(wanted_job(), LONG_AGO, request_hash(wanted_job(), {}))
    with Client(Endpoint.of_emulator(asking.emulator.url), None, sleep=lambda _: None) as client:
        client.run_flow(abandon(parent(), LONG_AGO, wanted, "cancel"))
    assert asking.states() == ["RUNNING"]


def test_a_clear_ends_the_old_job_though_the_clock_differs(asking: Asking) -> None:
    """The run was cleared after its end and started again, by Airflow's clock before that job was created."""
    asking.ask()
    behind = replace(clear(), run_started=datetime.now(UTC) - timedelta(seconds=30))
    asking.ask(behind)
    assert [state[:6] for state in asking.states()] == ["CANCEL", "RUNNIN"]


def test_a_cleared_run_ends_the_job_of_a_dead_worker(asking: Asking) -> None:
    """Airflow then starts the run again."""
    asking.ask()
    asking.ask(begun_now(clear()))
    assert [state[:6] for state in asking.states()] == ["CANCEL", "RUNNIN"]


def test_two_airflows_of_one_name_leave_each_other_alone(asking: Asking) -> None:
    """On two laptops the deployment is the same localhost; their runs began at different moments."""
    asking.ask()
    other = replace(TASK, is_certain=False, run_started=TASK.run_started + timedelta(microseconds=1))
    assert not asking.ask(retry(other)).is_adopted
    asking.ask(replace(clear(other), try_number=3, first_try=3))
    assert asking.states()[0] == "RUNNING"


@pytest.mark.parametrize("state", ["RUNNING", "SUCCEEDED"])
def test_a_retry_takes_the_kept_twin_not_the_ended_one(asking: Asking, state: str) -> None:
    asking.next_job_is(state)
    kept = asking.ask()
    asking.next_job_is("CANCELLED")
    asking.ask(replace(TASK, is_adopting=False))  # as when its create was carried out twice
    second = asking.ask(retry())
    assert (second.is_adopted, second.job.name) == (True, kept.job.name)
    assert asking.states() == [state, "CANCELLED"]


@pytest.mark.parametrize("takes_failed", [False, True])
def test_without_a_machine_a_retry_looks_for_a_second_job(asking: Asking, takes_failed: bool) -> None:
    asking.emulator.fault({"job_state": "JOB_STATE_FAILED", "status_message": NO_MACHINE})
    asking.ask()
    asking.ask(retry(), takes_failed=takes_failed)
    assert asking.emulator.requests()["list"] == {"200": 1 + 2}
    assert asking.paused >= 15


@pytest.mark.parametrize("takes_failed", [False, True])
def test_an_older_failure_does_not_hide_a_late_create(asking: Asking, takes_failed: bool) -> None:
    """The first try's job FAILED, and the second died with its create on its way."""
    asking.next_job_is("FAILED")
    asking.ask()
    asking.meanwhile = lambda: asking.carry_out(retry())
    third = asking.ask(retry(retry()), takes_failed=takes_failed)
    assert (third.is_adopted, third.job.labels["nbjobs-try"]) == (True, "2")
    assert asking.states() == ["FAILED", "RUNNING"]


@pytest.mark.parametrize("status", [409, 412])
def test_a_conflict_while_ending_is_not_a_taken_id(asking: Asking, status: int) -> None:
    asking.ask(job_ids=TASK.job_ids())
    asking.emulator.fault({"method": "list", "times": 2, "body": "{}"})
    asking.emulator.fault({"method": "delete", "status": status, "times": 10})
    with pytest.raises(ApiError) as failure:
        asking.ask(retry(), wanted_job("gs://notebooks/other.ipynb"), job_ids=retry().job_ids(), kill="delete")
    asking.emulator.clear_faults()
    assert failure.value.http_status == status
    assert asking.states() == ["RUNNING"]


def test_with_own_ids_a_late_old_request_is_ended(asking: Asking) -> None:
    """The list does not show it yet when the retry looks; its id is taken when the retry creates."""
    asking.ask(job_ids=TASK.job_ids())
    asking.emulator.fault({"method": "list", "times": 2, "body": "{}"})
    asking.ask(retry(), wanted_job("gs://notebooks/other.ipynb"), job_ids=retry().job_ids())
    assert [state[:6] for state in asking.states()] == ["CANCEL", "RUNNIN"]
    assert asking.told[-1].endswith("was canceled.")


def test_with_own_ids_a_job_under_deletion_is_awaited(asking: Asking) -> None:
    """The id is taken, and nobody sees the job that has it."""
    asking.emulator.fault({"method": "create", "status": 409})
    submitted = asking.ask(job_ids=TASK.job_ids())
    assert asking.made() == [(submitted.job.name or "").rpartition("/")[2]] == [next(TASK.job_ids())]


def test_with_own_ids_an_invisible_job_is_not_created_twice(asking: Asking) -> None:
    """It may be that of another process of this try, which reads do not show yet."""
    asking.ask(job_ids=TASK.job_ids())
    asking.emulator.fault({"method": "get", "status": 404, "times": 10})
    with pytest.raises(LostAnswerError, match=r"nbjobs-[0-9a-f]{16}-1-0 is taken, but the job"):
        asking.ask(job_ids=TASK.job_ids())
    assert asking.states() == ["RUNNING"]


def test_an_id_that_is_somebody_elses_is_the_services_refusal(asking: Asking) -> None:
    asking.ask(job_ids=["mine"])
    with pytest.raises(AlreadyExistsError, match="mine"):
        asking.ask(replace(TASK, task_id="another"), job_ids=["mine"])


@pytest.mark.parametrize("phase", ["before", "after"])
def test_with_own_ids_a_lost_answer_needs_no_list(asking: Asking, phase: str) -> None:
    """Nobody has to be allowed to list jobs for it."""
    asking.emulator.fault({"method": "create", "drop": True, "phase": phase})
    submitted = asking.ask(job_ids=TASK.job_ids())
    assert asking.made() == [(submitted.job.name or "").rpartition("/")[2]] == [next(TASK.job_ids())]
    assert not submitted.is_adopted
    assert "list" not in asking.emulator.requests()


def test_with_own_ids_creates_without_answers_are_given_up(asking: Asking) -> None:
    asking.emulator.fault({"method": "create", "status": 503, "times": 4})
    with pytest.raises(LostAnswerError, match="4 create requests for nbjobs-"):
        asking.ask(job_ids=TASK.job_ids())


def test_an_unresolved_lost_answer_is_not_a_refusal(asking: Asking) -> None:
    asking.emulator.fault({"method": "create", "drop": True, "phase": "after"})
    asking.emulator.fault({"method": "list", "status": 403, "times": 2})
    with pytest.raises(LostAnswerError, match="could not be looked for: 403"):
        asking.ask()
    assert len(asking.made()) == 1


@pytest.mark.parametrize("next_try", [retry, clear])
def test_a_retry_that_another_try_has_overtaken_submits_nothing(
    asking: Asking, next_try: Callable[[TaskIdentity], TaskIdentity]
) -> None:
    asking.ask(next_try(retry()))
    with pytest.raises(NbjobsError, match=r"Try 3 of the task has already created .* belongs to try 2"):
        asking.ask(retry())
    assert asking.states() == ["RUNNING"]


@pytest.mark.parametrize("late_try", [TASK, retry()])
def test_an_overtaken_try_does_not_submit_another_attempt(asking: Asking, late_try: TaskIdentity) -> None:
    asking.ask(retry(late_try))
    with pytest.raises(NbjobsError, match="which Airflow has given up: nothing is submitted"):
        asking.ask(replace(late_try, is_adopting=False))
    assert asking.states() == ["RUNNING"]


def test_nothing_is_created_by_whom_may_not_any_more(asking: Asking) -> None:
    """A task that is killed while it looks for what became of its first create sends no second one."""
    asking.emulator.fault({"method": "create", "status": 503})
    asked: list[int] = []

    def once() -> None:
        asked.append(1)
        if len(asked) > 1:
            raise InterruptedError("killed")

    with pytest.raises(InterruptedError):
        asking.ask(check=once)
    assert asking.emulator.requests()["create"] == {"503": 1}

"""What each try of a task makes of the jobs that there are: the emulator's book of jobs is the judge."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from airflow_nbjobs.exceptions import PermissionDeniedError
from airflow_nbjobs.run.identity import TaskIdentity
from tests.support.asking import TASK, Asking, clear, retry, wanted_job
from tests.support.emulators import using

nbjobs_emulator_session = using("lasting")


def job_id(submitted: object) -> str:
    """Return the id of the job that a try got."""
    return submitted.job.name.rpartition("/")[2]  # type: ignore[attr-defined]


def test_a_first_try_looks_once_and_makes_a_job(asking: Asking) -> None:
    submitted = asking.ask()
    assert (submitted.is_adopted, asking.made()) == (False, [job_id(submitted)])
    assert asking.emulator.requests()["list"] == {"200": 1}
    assert asking.paused == 0


@pytest.mark.parametrize("has_own_ids", [False, True])
@pytest.mark.parametrize("state", ["RUNNING", "SUCCEEDED"])
@pytest.mark.parametrize("task", [TASK, retry()])
def test_a_try_that_airflow_starts_twice_has_one_job(
    asking: Asking, task: TaskIdentity, state: str, has_own_ids: bool
) -> None:
    """Airflow 3.3.2 does so when it fails a try that was just deferred, and whose resumption is in a worker's queue."""
    asking.next_job_is(state)
    first, second = (asking.ask(task, job_ids=task.job_ids() if has_own_ids else (None,)) for _ in range(2))
    assert (second.is_adopted, job_id(second), len(asking.made())) == (True, job_id(first), 1)


def test_a_try_that_starts_twice_runs_its_last_request(asking: Asking) -> None:
    """A parameter may be the time of day."""
    asking.ask()
    asking.ask(asked=wanted_job("gs://notebooks/other.ipynb"))
    assert [state[:6] for state in asking.states()] == ["CANCEL", "RUNNIN"]
    assert asking.told[-1].endswith("of try 1 was canceled.")


def test_a_first_try_adopts_nothing_of_another_instance(asking: Asking) -> None:
    """`dag.test()` may be called twice with one run id and one date."""
    asking.ask()
    assert not asking.ask(replace(TASK, instance="another")).is_adopted
    assert asking.states() == ["RUNNING", "RUNNING"]


@pytest.mark.parametrize(("status", "times"), [(400, 1), (403, 1), (429, 1000)])
def test_a_first_try_whose_look_is_refused_still_creates(asking: Asking, status: int, times: int) -> None:
    asking.emulator.fault({"method": "list", "status": status, "times": times})
    asking.ask()
    asking.emulator.clear_faults()
    assert len(asking.made()) == 1
    assert f"another process of this try may have created: {status}" in asking.told[0]


def test_a_list_quota_is_not_a_missing_machine(asking: Asking) -> None:
    """The task would go on without what it has."""
    first = asking.ask()
    asking.emulator.fault({"method": "list", "status": 429, "message": "Quota 'LISTS' exceeded. Limit: 600.0"})
    assert job_id(asking.ask(retry())) == job_id(first)


def test_what_submits_anew_in_one_try_adopts_nothing(asking: Asking) -> None:
    asking.ask()
    assert not asking.ask(replace(TASK, is_adopting=False)).is_adopted
    assert len(asking.made()) == 2


def test_a_retry_waits_to_see_an_unwanted_job_end(asking: Asking) -> None:
    asking.ask()
    asking.emulator.fault({"method": "get", "status": 403})
    with pytest.raises(PermissionDeniedError):
        asking.ask(retry(), wanted_job("gs://notebooks/other.ipynb"))
    assert len(asking.made()) == 1


@pytest.mark.parametrize("state", ["RUNNING", "SUCCEEDED"])
def test_a_failed_job_is_adopted_only_without_a_better_one(asking: Asking, state: str) -> None:
    """The younger of two jobs of one create may fail, too."""
    asking.next_job_is(state)
    older = asking.ask()
    asking.next_job_is("FAILED")
    asking.ask(replace(TASK, is_adopting=False))
    taken = asking.ask(retry(), takes_failed=True)
    assert (taken.is_adopted, job_id(taken), asking.states()[0]) == (True, job_id(older), state)


def test_of_two_jobs_the_failure_of_the_kept_one_counts(asking: Asking) -> None:
    asking.next_job_is("FAILED")
    kept = asking.ask()
    asking.next_job_is("CANCELLED")
    asking.ask(replace(TASK, is_adopting=False))
    taken = asking.ask(retry(), takes_failed=True)
    assert (taken.is_adopted, job_id(taken)) == (True, job_id(kept))


def test_a_retry_re_attaches_to_an_active_job(asking: Asking) -> None:
    first, second = asking.ask(), asking.ask(retry())
    assert (second.is_adopted, job_id(second), len(asking.made())) == (True, job_id(first), 1)
    assert asking.paused == 0


@pytest.mark.parametrize("state", ["PENDING", "PAUSED", "UPDATING", "OF_A_LATER_YEAR"])
def test_any_state_that_is_not_terminal_is_active(asking: Asking, state: str) -> None:
    asking.next_job_is(state)
    asking.ask()
    assert asking.ask(retry()).is_adopted


def test_a_retry_takes_the_result_of_an_unseen_success(asking: Asking) -> None:
    asking.next_job_is("SUCCEEDED")
    asking.ask()
    second = asking.ask(retry())
    assert (second.is_adopted, second.job.job_state.is_success, len(asking.made())) == (True, True, 1)


@pytest.mark.parametrize("state", ["FAILED", "CANCELLED", "CANCELLING", "EXPIRED", "PARTIALLY_SUCCEEDED"])
def test_a_retry_after_a_failed_job_creates_at_once(asking: Asking, state: str) -> None:
    asking.next_job_is(state)
    asking.ask()
    assert not asking.ask(retry()).is_adopted
    assert (len(asking.made()), asking.paused) == (2, 0)


def test_a_retry_adopts_what_an_earlier_retry_adopted(asking: Asking) -> None:
    first = asking.ask()
    second = asking.ask(retry())
    third = asking.ask(retry(retry()))
    assert {job_id(second), job_id(third)} == {job_id(first)}


def test_a_clear_runs_anew_though_the_job_succeeded(asking: Asking) -> None:
    asking.next_job_is("SUCCEEDED")
    asking.ask()
    assert not asking.ask(clear()).is_adopted
    assert asking.states() == ["SUCCEEDED", "RUNNING"]


def test_a_clear_ends_the_job_of_a_dead_worker(asking: Asking) -> None:
    left = asking.ask()
    asking.ask(clear())
    assert asking.states()[0].startswith("CANCEL")
    assert asking.told == [f"The orphaned job {left.job.name} of try 1 was canceled."]


@pytest.mark.parametrize(("kill", "states"), [("delete", ["CANCELLED", "RUNNING"]), ("leave", ["RUNNING", "RUNNING"])])
def test_it_is_ended_by_the_kill_policy(asking: Asking, kill: str, states: list[str]) -> None:
    asking.ask()
    asking.ask(clear(), kill=kill)
    assert len(asking.made()) == 2
    deleted = [job["deleted"] for job in asking.emulator.book()][-2:]
    assert (deleted[0], asking.states()[1]) == (kill == "delete", states[1])


def test_a_retry_after_a_clear_adopts_only_its_generation(asking: Asking) -> None:
    asking.next_job_is("SUCCEEDED")
    asking.ask()
    asking.next_job_is("FAILED")
    asking.ask(clear())
    asking.next_job_is("SUCCEEDED")
    third = asking.ask(retry(clear()))
    assert (third.is_adopted, len(asking.made())) == (False, 3)


def test_a_changed_request_ends_the_job_of_the_old_one(asking: Asking) -> None:
    asking.ask()
    asking.ask(retry(), wanted_job("gs://notebooks/other.ipynb"))
    assert [state[:6] for state in asking.states()] == ["CANCEL", "RUNNIN"]


def test_a_changed_request_does_not_take_the_old_result(asking: Asking) -> None:
    asking.next_job_is("SUCCEEDED")
    asking.ask()
    assert not asking.ask(retry(), wanted_job("gs://notebooks/other.ipynb")).is_adopted


@pytest.mark.parametrize(
    "other",
    [
        {"deployment": "https://another-airflow.example.com"},
        {"dag_id": "others"},
        {"run_id": "manual__1"},
        {"task_id": "weekly"},
        {"map_index": 0},
    ],
    ids=lambda other: next(iter(other)),
)
def test_nobody_adopts_or_ends_the_job_of_another(asking: Asking, other: dict[str, object]) -> None:
    asking.ask()
    assert not asking.ask(retry(replace(TASK, **other))).is_adopted
    assert asking.states() == ["RUNNING", "RUNNING"]


def test_reordered_mapped_tasks_adopt_nothing_of_each_other(asking: Asking) -> None:
    mapped = [replace(TASK, map_index=index) for index in range(3)]
    wanted = [wanted_job(f"gs://notebooks/{name}.ipynb") for name in "abc"]
    for task, asked in zip(mapped, wanted, strict=True):
        asking.ask(task, asked)
    # The first of the list is gone: who asked for b asks for c, and the last task is there no more.
    second = [asking.ask(retry(task), asked) for task, asked in zip(mapped[:2], wanted[1:], strict=True)]
    assert [submitted.is_adopted for submitted in second] == [False, False]
    assert [state[:6] for state in asking.states()] == ["CANCEL", "CANCEL", "RUNNIN", "RUNNIN", "RUNNIN"]


def test_names_that_run_together_are_told_apart() -> None:
    one = replace(TASK, dag_id="a", run_id="b\nc")
    other = replace(TASK, dag_id="a\nb", run_id="c")
    assert one.key != other.key


def test_an_uncertain_deployment_ends_only_jobs_of_this_run(asking: Asking) -> None:
    asking.ask()
    uncertain = replace(clear(), is_certain=False)
    asking.ask(replace(uncertain, run_started=TASK.run_started + timedelta(hours=1)))
    assert asking.states() == ["RUNNING", "RUNNING"]
    asking.ask(replace(uncertain, try_number=3, first_try=3))
    assert [state[:6] for state in asking.states()] == ["CANCEL", "RUNNIN", "RUNNIN"]


def test_a_retry_looks_again_after_a_dead_worker(asking: Asking) -> None:
    assert not asking.ask(retry()).is_adopted
    assert asking.emulator.requests()["list"] == {"200": 2}
    assert asking.paused >= 15

"""What follows when a job has ended: a test for each row of the table in ``run/finish.py``."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_nbjobs.api.job import JobState, NotebookExecutionJob, Status
from airflow_nbjobs.notebooks.failures import CellFailure
from airflow_nbjobs.notebooks.outcome import read_outcome
from airflow_nbjobs.run.capacity import Attempts
from airflow_nbjobs.run.finish import Again, Fail, FinishPolicy, Return, Step, SubmitAgain, WhyNot, next_step
from airflow_nbjobs.run.result import Executed
from tests.support.papers import as_bytes, cell, notebook

NO_MACHINE = Status(code=8, message="us-central1-a does not have enough resources")
ERROR = {"output_type": "error", "ename": "E", "evalue": "v", "traceback": []}
RAN = read_outcome([as_bytes(notebook({**cell("1"), "execution_count": 1}))])
RAISED = read_outcome([as_bytes(notebook({**cell("1 / 0"), "execution_count": 1, "outputs": [ERROR]}))])
MISSING = Executed(is_missing=True)
READ, FAILED_CELL = Executed(uri="gs://b/x", outcome=RAN), Executed(uri="gs://b/x", outcome=RAISED)
UNREADABLE = Executed(problem="no answer")


def step(
    state: str | None,
    executed: Executed | None = READ,
    *,
    status: Status | None = None,
    retries: int = 0,
    has_time: bool = True,
    retries_on_error: bool = True,
    **known: Any,
) -> Step:
    """Return what follows for a job in a state, which is ``None`` for one that no longer exists."""
    job = None if state is None else NotebookExecutionJob(job_state=JobState(f"JOB_STATE_{state}"), status=status)
    policy = FinishPolicy(
        retry_on_notebook_error=retries_on_error,
        attempts=Attempts(templates=("1", "2"), retries=retries),
        has_time=has_time,
    )
    return next_step(job, executed, policy, **known)


def test_the_outcomes_of_this_file_are_what_they_say() -> None:
    assert RAN.failure is None
    assert isinstance(RAISED.failure, CellFailure)


@pytest.mark.parametrize("state", [None, "CANCELLED"])
def test_row_1_an_adopted_job_that_somebody_ended_is_replaced(state: str | None) -> None:
    assert step(state, None, is_adopted=True, attempt=1) == SubmitAgain(Again.REPLACED, 1)


@pytest.mark.parametrize("state", [None, "CANCELLED"])
def test_row_2_a_job_of_this_try_that_is_gone_fails_the_task(state: str | None) -> None:
    assert step(state, None if state is None else READ) == Fail()


def test_row_3_success_is_succeeded_alone() -> None:
    assert step("SUCCEEDED") == Return()
    for state in ("FAILED", "CANCELLED", "EXPIRED", "PARTIALLY_SUCCEEDED"):
        assert step(state) == Fail()


def test_row_4_a_raised_cell_is_final_if_it_should_be() -> None:
    assert step("FAILED", FAILED_CELL, retries_on_error=False) == Fail(is_final=True)
    assert step("FAILED", FAILED_CELL, retries_on_error=False, had_failed=True) == Fail(is_final=True)
    assert step("FAILED", FAILED_CELL) == Fail()


def test_row_5_an_old_failure_that_cannot_be_read_is_not_run_again() -> None:
    assert step("FAILED", UNREADABLE, had_failed=True) == Fail(WhyNot.CELL_MAY_HAVE_RAISED)


@pytest.mark.parametrize("executed", [READ, MISSING])
def test_row_6_an_old_failure_without_a_raised_cell_is_run_again(executed: Executed) -> None:
    assert step("FAILED", executed, had_failed=True, attempt=3) == SubmitAgain(Again.FAILED_BEFORE, 0)


def test_row_7_without_an_attempt_left_the_task_fails() -> None:
    assert step("FAILED", MISSING, status=NO_MACHINE) == Fail(WhyNot.NO_ATTEMPT_LEFT)


def test_row_8_cells_that_may_have_run_are_not_run_again() -> None:
    assert step("FAILED", UNREADABLE, status=NO_MACHINE, retries=1) == Fail(WhyNot.CELLS_MAY_HAVE_RUN)


def test_row_9_without_a_machine_the_next_attempt_follows() -> None:
    assert step("FAILED", MISSING, status=NO_MACHINE, retries=2, attempt=1) == SubmitAgain(Again.NO_MACHINE, 2)
    assert step("EXPIRED", MISSING, status=NO_MACHINE, retries=2) == Fail()
    assert step("FAILED", READ, status=NO_MACHINE, retries=2) == Fail()


@pytest.mark.parametrize(
    ("state", "known"),
    [
        (None, {"executed": None, "is_adopted": True}),
        ("FAILED", {"executed": MISSING, "had_failed": True}),
        ("FAILED", {"executed": MISSING, "status": NO_MACHINE, "retries": 1}),
    ],
)
def test_row_10_after_the_timeout_nothing_is_submitted(state: str | None, known: dict[str, Any]) -> None:
    assert isinstance(step(state, **known), SubmitAgain)
    assert step(state, **known, has_time=False) == Fail(WhyNot.NO_TIME)


def test_a_raised_cell_stays_final_when_there_is_no_time_to_replace_the_job() -> None:
    known: dict[str, Any] = {"is_adopted": True, "has_time": False, "retries_on_error": False}
    assert step("CANCELLED", FAILED_CELL, **known) == Fail(is_final=True)
    assert step("CANCELLED", READ, **known) == Fail(WhyNot.NO_TIME)

"""The time that a killed task has."""

from __future__ import annotations

import threading

import pytest

from airflow_nbjobs.run.kill import KILL_BUDGET, KillBudget, result_in_time


def test_the_parts_of_a_kill_fit_into_airflows_five_seconds() -> None:
    assert (
        KILL_BUDGET.state < KILL_BUDGET.cancel < KILL_BUDGET.requests < KILL_BUDGET.answer < 5.0 == KILL_BUDGET.airflow
    )
    assert KILL_BUDGET.patience.seconds < KILL_BUDGET.requests


@pytest.mark.parametrize("part", [{"state": 3.5}, {"cancel": 2.0}, {"requests": 4.7}, {"answer": 5.5}])
def test_a_budget_whose_parts_do_not_fit_is_refused(part: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="do not fit into each other"):
        KillBudget(**part)


def test_work_that_takes_too_long_or_raises_has_another_answer() -> None:
    assert result_in_time(30, lambda: "in time", "otherwise") == "in time"
    assert result_in_time(30, lambda: str(1 / 0), "otherwise") == "otherwise"
    is_over = threading.Event()
    assert result_in_time(0.01, lambda: str(is_over.wait(30)), "otherwise") == "otherwise"
    is_over.set()

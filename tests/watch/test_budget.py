"""The arithmetic of budgets."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as some

from airflow_nbjobs.watch.budget import Budget


@given(
    per_minute=some.integers(1, 600),
    pauses=some.lists(some.floats(0, 30), max_size=300),
    shares=some.lists(some.floats(0.1, 1.0), min_size=1, max_size=5),
)
def test_a_budget_is_never_exceeded_in_any_minute(per_minute: int, pauses: list[float], shares: list[float]):
    budget, now, sent = Budget(per_minute), 0.0, []
    for index, pause in enumerate(pauses):
        now += pause if index % 7 == 0 else 0.0
        now += budget.wait(now, shares[index % len(shares)])
        budget.spend(now)
        sent.append(now)
    for begin in sent:
        assert sum(1 for moment in sent if begin <= moment < begin + 60.0) <= per_minute


@pytest.mark.parametrize("per_minute", [1, 3, 120, 600])
def test_a_budget_is_used_up(per_minute: int):
    budget, now, sent = Budget(per_minute), 0.0, 0
    while now < 6000.0:
        now += budget.wait(now)
        budget.spend(now)
        sent += 1
    assert sent >= 100 * 0.7 * per_minute


def test_what_is_less_urgent_leaves_something():
    budget = Budget(120)
    sent = 0
    while budget.wait(0.0, share=0.5) == 0.0:
        budget.spend(0.0)
        sent += 1
    assert sent == 15
    assert budget.wait(0.0) == 0.0


def test_a_budget_that_the_service_closed_opens_in_time():
    budget = Budget(120)
    budget.close(40.0)
    budget.close(30.0)
    assert budget.wait(10.0) == 30.0
    assert budget.wait(40.0) == 0.0


def test_a_budget_of_nothing_is_one_a_minute():
    budget = Budget(0)
    budget.spend(5.0)
    assert 60.0 <= budget.wait(5.0) < 60.01

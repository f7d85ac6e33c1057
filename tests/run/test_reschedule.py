"""A try that Airflow runs again without using a retry: its next process takes over the job of the one before."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_nbjobs.exceptions import ApiError, InvalidNotebookJobError, NotebookJobError
from airflow_nbjobs.operators import CreateNotebookExecutionJobOperator
from tests.support.asking import TASK, Asking
from tests.support.cloud import Cloud
from tests.support.task_runs import JOB, TaskRun, create

pytest.importorskip("airflow.sdk.definitions.retry_policy", reason="tasks have a retry policy from Airflow 3.3 on")


class Reschedules:
    """A retry policy that runs a task again without using a retry, as those of Airflow 3.4 can.

    ``tests/test_retry_policy.py`` and ``tests/system/test_reschedules.py`` have Airflow's own decisions.
    """

    def __init__(self, *, at_most: int | None = None, within: timedelta | None = None) -> None:
        self.decision = SimpleNamespace(
            action=SimpleNamespace(value="reschedule"), max_reschedules=at_most, reschedule_timeout=within
        )

    def evaluate(self, **_: Any) -> SimpleNamespace:
        """Decide the same for each error."""
        return self.decision


@pytest.fixture
def away(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cloud]:
    """Let a job run for good, and the service be away for too long when a task looks at it."""
    for module in ("retries", "auth"):
        monkeypatch.setattr(f"airflow_nbjobs.api.{module}.backoff", lambda *_: 0.0)
    cloud.fault({"job_state": "JOB_STATE_RUNNING"})
    cloud.fault({"method": "get", "status": 503, "times": 30})
    yield cloud
    cloud.clear_faults()


def fail_once(cloud: Cloud, run: TaskRun) -> None:
    """Let a process of the task fail since the service is away; its job goes on."""
    with pytest.raises(NotebookJobError, match=r"503 .* keeps running, and the retry re-attaches to it"):
        run.execute()
    assert cloud.states() == ["RUNNING"]
    cloud.clear_faults()


def test_a_rescheduled_try_takes_over_its_job(away: Cloud) -> None:
    run = create(retry_policy=Reschedules(at_most=1))
    fail_once(away, run)
    away.play(away.book()[0]["name"], "JOB_STATE_SUCCEEDED")
    assert run.rescheduled().execute()["name"] == away.book()[0]["name"]
    assert away.states() == ["SUCCEEDED"]


@pytest.mark.parametrize("bound", [{"at_most": 1}, {"within": timedelta(minutes=1)}], ids=["by number", "by time"])
def test_a_job_ends_when_no_reschedule_is_left(away: Cloud, bound: dict[str, Any]) -> None:
    run = create(retry_policy=Reschedules(**bound))
    run.ti.first_rescheduled_at = datetime.now(UTC) - timedelta(minutes=2)
    with pytest.raises(NotebookJobError, match="was canceled, since no retry is left"):
        run.execute()
    assert away.states() == ["CANCELLED"]


def test_a_reschedule_within_its_time_keeps_the_job(away: Cloud) -> None:
    run = create(retry_policy=Reschedules(within=timedelta(hours=1)))
    fail_once(away, run)


def test_a_rescheduled_try_that_gets_no_job_ends_the_earlier_one(away: Cloud) -> None:
    notebook = "gs://notebooks/report.ipynb"
    run = TaskRun(
        lambda: CreateNotebookExecutionJobOperator(
            task_id="report", retry_policy=Reschedules(at_most=1), **JOB | {"notebook": notebook}
        )
    )
    fail_once(away, run)
    notebook = "gs://{{ 'notebooks' }}/"  # without a template the DAG file could not be imported
    with pytest.raises(InvalidNotebookJobError):
        run.rescheduled().execute()
    assert away.states() == ["CANCELLED"]


def test_a_rescheduled_try_submits_nothing_without_a_look(away: Cloud) -> None:
    run = create(retry_policy=Reschedules(at_most=2))
    fail_once(away, run)
    away.fault({"method": "list", "status": 403, "times": 1000})
    with pytest.raises(ApiError, match="403"):
        run.rescheduled().execute()
    assert away.states() == ["RUNNING"]


def test_a_deterministic_id_is_taken_over_too(away: Cloud) -> None:
    run = create(retry_policy=Reschedules(at_most=1), deterministic_job_id=True)
    fail_once(away, run)
    away.play(away.book()[0]["name"], "JOB_STATE_SUCCEEDED")
    assert run.rescheduled().execute()["state"] == "JOB_STATE_SUCCEEDED"
    assert away.states() == ["SUCCEEDED"]


def test_a_rescheduled_try_looks_again_for_a_job_that_may_appear(asking: Asking) -> None:
    """The create request of the process before it got no answer, and is carried out late."""
    asking.meanwhile = lambda: asking.carry_out(TASK)
    submitted = asking.ask(replace(TASK, is_rescheduled=True))
    assert submitted.is_adopted
    assert asking.states() == ["RUNNING"]

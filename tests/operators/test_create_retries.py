"""What a retry and a clear make of the job that the try before them had, from the operator's side."""

from __future__ import annotations

import uuid
from dataclasses import replace
from typing import Any

import pytest

from airflow_nbjobs.hooks import NotebookExecutionJobHook
from tests.support.cloud import Cloud
from tests.support.task_runs import TaskRun, create


def next_try(run: TaskRun, **known: Any) -> TaskRun:
    """Return the try after a try, in a process of its own."""
    run.operator = run._new()
    run.ti = replace(run.ti, try_number=run.ti.try_number + 1, id=uuid.uuid4(), xcoms={}, **known)
    return run


def is_adopted(run: TaskRun) -> bool:
    """Execute, and tell whether the job is one that there was."""
    run.execute()
    return bool(run.ti.xcoms["notebook_execution_job"]["adopted"])


def test_a_retry_takes_the_result_but_a_clear_runs_again(cloud: Cloud) -> None:
    run = create(retries=1)
    assert not is_adopted(run)
    assert is_adopted(next_try(run))
    # A clear after try 2: Airflow lets a task that it clears have all of its retries once more.
    assert not is_adopted(next_try(run, max_tries=3))
    assert is_adopted(next_try(run))
    assert [job["labels"]["nbjobs-try"] for job in cloud.book()] == ["1", "3"]


def test_a_retry_adopts_a_job_of_the_connections_old_account(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    """The key of the connection was replaced meanwhile, and the user asks for the same as before."""
    accounts = iter(["old@project.iam.gserviceaccount.com", "new@project.iam.gserviceaccount.com"])
    monkeypatch.setattr(NotebookExecutionJobHook, "service_account_email", lambda _: next(accounts))
    run = create(retries=1, service_account=None)
    assert not is_adopted(run)
    assert is_adopted(next_try(run))
    (job,) = cloud.book()
    assert NotebookExecutionJobHook().get_job(job["name"]).service_account == "old@project.iam.gserviceaccount.com"


@pytest.mark.parametrize("before", [False, True])
def test_cost_labels_do_not_change_what_a_retry_adopts(cloud: Cloud, before: bool) -> None:
    run = create(retries=1, cost_labels=before)
    assert not is_adopted(run)
    run._make = create(retries=1, cost_labels=not before)._make
    assert is_adopted(next_try(run))
    (job,) = cloud.book()
    labels = {key: value for key, value in job["labels"].items() if key.startswith("airflow-")}
    expected = {"dag": "reports", "task": "report", "run": "manual__2026-11-22t00_00_00_00_00"}
    assert labels == ({f"airflow-{key}": value for key, value in expected.items()} if before else {})

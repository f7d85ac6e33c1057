"""The ready retry policy: what it decides about each failure, as Airflow asks it after a task of ours has failed."""

from __future__ import annotations

import re
import subprocess
import sys
from datetime import timedelta
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowSkipException

from airflow_nbjobs.exceptions import (
    CredentialsError,
    FailedPreconditionError,
    FailureKind,
    NotebookJobGoneError,
    NotebookJobTimeoutError,
)
from tests.support.cloud import Cloud
from tests.support.papers import cell, notebook, task

policies = pytest.importorskip(
    "airflow.sdk.definitions.retry_policy", reason="tasks have a retry policy from Airflow 3.3 on"
)

from airflow_nbjobs.retry_policy import NotebookRetryPolicy  # noqa: E402 - it needs what is asked for above

AGAIN = "reschedule" if hasattr(policies.RetryAction, "RESCHEDULE") else "retry"
"""How a task runs again after what passes: Airflow 3.4 uses no retry for it."""
QUOTA, CAPACITY, OUTAGE = timedelta(minutes=1), timedelta(minutes=15), timedelta(minutes=2)


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let nobody wait between two calls that fail, and give up soon."""
    for module in ("retries", "auth"):
        monkeypatch.setattr(f"airflow_nbjobs.api.{module}.backoff", lambda *_: 0.0)
    monkeypatch.setattr("airflow_nbjobs.run.submit.LOOKS", (0.01,) * 3)


def decided(error: BaseException) -> Any:
    """Return what the policy decides, asked as Airflow asks."""
    return NotebookRetryPolicy().evaluate(exception=error, try_number=1, max_tries=2, context={})


def failure(**arguments: Any) -> Any:
    """Return the error with which a task ends as Airflow gets it."""
    with pytest.raises(Exception, match=r".") as raised:
        task(retries=2, **arguments).execute()
    return raised.value


def assert_waits(error: Any, delay: timedelta) -> None:
    """Check that the task runs again, as late as that."""
    decision = decided(error)
    assert (decision.action.value, decision.retry_delay) == (AGAIN, delay)
    assert decision.reason == error.kind.value
    if AGAIN == "reschedule":
        assert decision.reschedule_timeout == timedelta(hours=6)


def test_a_cell_that_raised_fails_the_task(cloud: Cloud) -> None:
    cloud.create_bucket("results")
    error = failure(notebook=notebook(cell("1 / 0")))
    assert (decided(error).action.value, decided(error).reason) == ("fail", FailureKind.NOTEBOOK.value)


def test_results_that_are_no_results_fail_the_task(cloud: Cloud) -> None:
    cloud.create_bucket("results")
    error = failure(notebook=notebook(cell("print('{not JSON')", "result")))
    assert "Failed to read the results" in str(error)
    assert decided(error).action.value == "fail"


@pytest.mark.parametrize("status", [400, 401, 403, 404])
def test_a_refused_request_fails_the_task(cloud: Cloud, status: int) -> None:
    cloud.fault({"method": "create", "status": status, "times": 2})
    assert decided(failure()).action.value == "fail"
    cloud.clear_faults()


def test_a_permission_that_was_taken_away_fails_the_task(cloud: Cloud) -> None:
    """The job is ended, since no retry follows."""
    cloud.fault({"job_state": "JOB_STATE_RUNNING"})
    cloud.fault({"method": "get", "status": 403})
    error = failure(retry_policy=NotebookRetryPolicy())
    assert decided(error).action.value == "fail"
    assert "was canceled, since the task's retry policy allows no retry" in str(error)
    assert cloud.states() == ["CANCELLED"]


def test_a_notebook_that_may_not_be_read_fails_the_task(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    from airflow_nbjobs.exceptions import PermissionDeniedError
    from airflow_nbjobs.notebooks import storage

    def refuse(*_: Any, **__: Any) -> Any:
        raise PermissionDeniedError("storage.objects.get", http_status=403)

    monkeypatch.setattr(storage, "read", refuse)  # the emulator's Cloud Storage refuses nobody
    error = failure(parameters={"day": "2026-11-22"})
    assert "may read it" in str(error)
    assert decided(error).action.value == "fail"


def test_a_missing_notebook_is_left_to_the_retries(cloud: Cloud) -> None:
    """What writes it may be late."""
    error = failure(parameters={"day": "2026-11-22"})
    assert "Failed to read" in str(error)
    assert decided(error).action.value == "default"


def test_too_many_requests_are_waited_for(cloud: Cloud) -> None:
    cloud.fault({"method": "get", "status": 429, "times": 1000})
    assert_waits(failure(), QUOTA)
    cloud.clear_faults()


@pytest.mark.parametrize("where", ["create", "job"])
def test_a_machine_that_is_missing_is_waited_for(cloud: Cloud, where: str) -> None:
    message = "The zone 'us-central1-a' does not have enough resources available to fulfill the request."
    if where == "create":
        cloud.fault({"method": "create", "status": 429, "message": message})
    else:
        cloud.fault({"job_state": "JOB_STATE_FAILED", "status_message": message})
    assert_waits(failure(), CAPACITY)


@pytest.mark.parametrize("method", ["list", "create", "get"])
def test_an_outage_is_waited_for(cloud: Cloud, method: str) -> None:
    cloud.fault({"job_state": "JOB_STATE_RUNNING"})
    cloud.fault({"method": method, "status": 503, "times": 1000})
    assert_waits(failure(), OUTAGE)
    cloud.clear_faults()


def test_an_outage_that_the_triggerer_saw_is_waited_for(cloud: Cloud) -> None:
    cloud.fault({"job_state": "JOB_STATE_RUNNING"})
    run = task(retries=2, deferrable=True)
    run.defer()
    with pytest.raises(Exception, match="could not ask the service") as raised:
        run.told("error", kind="OUTAGE")
    assert_waits(raised.value, OUTAGE)


@pytest.mark.parametrize(
    ("error", "action"),
    [
        (CredentialsError("the key was deleted"), "fail"),
        (CredentialsError("the token service is away", is_transient=True), AGAIN),
        (FailedPreconditionError("Service agents are being provisioned."), "default"),
        (NotebookJobTimeoutError("it did not end in time"), "default"),
        (NotebookJobGoneError("it was deleted"), "default"),
        (AirflowSkipException("it is the user's own"), "default"),
        (RuntimeError("of the user's own code"), "default"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else value,
)
def test_other_errors_are_left_to_the_retries(error: Exception, action: str) -> None:
    assert decided(error).action.value == action


def test_a_job_that_a_person_ended_is_left_to_the_retries(cloud: Cloud) -> None:
    cloud.fault({"job_state": "JOB_STATE_CANCELLED"})
    assert decided(failure()).action.value == "default"


@pytest.mark.parametrize("name", ["quota_delay", "capacity_delay", "outage_delay", "reschedule_timeout"])
@pytest.mark.parametrize("value", [60, None, timedelta(0), timedelta(seconds=-1)])
def test_a_value_that_is_no_duration_is_refused(name: str, value: Any) -> None:
    with pytest.raises(ValueError, match=rf"{name}=.* is not a positive timedelta: give one"):
        NotebookRetryPolicy(**{name: value})


def test_an_older_airflow_is_named_when_it_is_imported() -> None:
    program = (
        "import sys; sys.modules['airflow.sdk.definitions.retry_policy'] = None; import airflow_nbjobs.retry_policy"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert re.search(
        r"ImportError: NotebookRetryPolicy needs Airflow 3\.3 or newer, .* this is Airflow 3\.", done.stderr
    )
    assert done.stderr.strip().endswith("retry_on_notebook_error=False.")

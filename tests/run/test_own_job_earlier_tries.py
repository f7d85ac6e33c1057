"""A task that ends for good without a job ends the jobs of its earlier tries."""

from __future__ import annotations

import errno
import json
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import (
    AirflowFailException,
    AirflowSkipException,
    AirflowTaskTimeout,
)

from airflow_nbjobs.exceptions import (
    InvalidNotebookJobError,
    NotebookJobError,
    NotebookJobGoneError,
    PermissionDeniedError,
    UnavailableError,
)
from airflow_nbjobs.run.task import TaskContext
from tests.support.cloud import Cloud
from tests.support.logged import Logged
from tests.support.task_runs import NOTEBOOK, TaskRun, create
from tests.support.waiting import eventually


def attempt(number: int, retries: int = 1, folder: Path | None = None, **arguments: Any) -> TaskRun:
    """Return a try of the task."""
    return create(folder, ti={"try_number": number}, retries=retries, **arguments)


@pytest.fixture
def left(cloud: Cloud) -> Cloud:
    """Leave the job of a first try whose worker has died: it runs on."""
    cloud.fault({"job_state": "JOB_STATE_RUNNING"})
    attempt(1, wait_for_completion=False).execute()
    cloud.reset_requests()
    return cloud


def leave_another(left: Cloud) -> None:
    """Leave the job of a second try too, which has another notebook."""
    left.fault({"job_state": "JOB_STATE_RUNNING"})
    attempt(2, 2, notebook="gs://notebooks/other.ipynb", kill="leave", wait_for_completion=False).execute()


def wrong() -> dict[str, Any]:
    """Return arguments that are wrong, which a template hides until the run."""
    return {"notebook": "gs://{{ 'notebooks' }}/"}


MISSING = {"notebook": "gs://notebooks/not-there-yet.ipynb", "parameters": {"day": 1}}


@pytest.mark.parametrize(
    ("arguments", "retries", "became", "why"),
    [
        (MISSING, 2, "RUNNING", None),
        (MISSING, 1, "CANCELLED", "no retry is left"),
        (wrong(), 2, "CANCELLED", "the failure is final"),
    ],
)
def test_a_try_that_fails_early_without_a_retry_ends_earlier_jobs(
    left: Cloud, arguments: dict[str, Any], retries: int, became: str, why: str | None, logged: Logged
) -> None:
    with pytest.raises(InvalidNotebookJobError):
        attempt(2, retries, **arguments).execute()
    assert left.states() == [became]
    told = [
        line for line in logged() if re.search(f"Jobs of earlier tries, if any: .* was canceled, since {why}", line)
    ]
    assert len(told) == (why is not None)


@pytest.mark.parametrize(("retries", "became"), [(2, "RUNNING"), (1, "CANCELLED")])
def test_an_unreadable_file_leaves_earlier_jobs_to_the_retry(
    left: Cloud, retries: int, became: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A network folder may be away for a moment, which is not a wrong argument."""
    read_bytes = Path.read_bytes

    def away(path: Path) -> bytes:
        if path.suffix != ".ipynb":
            return read_bytes(path)
        raise OSError(errno.ESTALE, "Stale file handle")

    (tmp_path / "report.ipynb").write_text(json.dumps(NOTEBOOK))
    run = attempt(2, retries, notebook="report.ipynb", folder=tmp_path)
    monkeypatch.setattr(Path, "read_bytes", away)
    with pytest.raises(InvalidNotebookJobError, match="Stale file handle") as refusal:
        run.execute()
    assert not isinstance(refusal.value, AirflowFailException)
    assert left.states() == [became]


def test_each_job_that_earlier_tries_left_is_told_of(left: Cloud, logged: Logged) -> None:
    leave_another(left)
    with pytest.raises(InvalidNotebookJobError):
        attempt(3, 2, **wrong()).execute()
    assert left.states() == ["CANCELLED"] * 2
    (line,) = [line for line in logged() if "Jobs of earlier tries, if any: " in line]
    assert all(f"{job['name']} was canceled" in line for job in left.book())


def test_a_job_that_cannot_be_ended_spares_no_other(left: Cloud, logged: Logged) -> None:
    leave_another(left)
    left.fault({"method": "delete", "status": 403})
    with pytest.raises(InvalidNotebookJobError):
        attempt(3, 2, kill="delete", **wrong()).execute()
    assert sorted(job["deleted"] for job in left.book()) == [False, True]
    (line,) = [line for line in logged() if "Jobs of earlier tries, if any: " in line]
    assert "could not be ended and may still run (403" in line


def test_a_job_that_cannot_be_looked_for_is_told_of(left: Cloud, logged: Logged) -> None:
    left.fault({"method": "list", "status": 403, "times": 2})
    with pytest.raises(PermissionDeniedError):
        attempt(2).execute()
    assert [
        line
        for line in logged()
        if "Jobs of earlier tries, if any: its job could not be ended and may still run (403" in line
    ]


def test_a_first_try_that_fails_early_sends_no_request(cloud: Cloud) -> None:
    with pytest.raises(InvalidNotebookJobError):
        attempt(1, 0, **wrong()).execute()
    assert cloud.requests() == {}


def test_a_kill_before_submission_ends_the_earlier_job(
    left: Cloud, monkeypatch: pytest.MonkeyPatch, logged: Logged
) -> None:
    """The service is away when the retry looks for its job, and is back when a person has lost patience."""
    monkeypatch.setattr("airflow_nbjobs.api.retries.backoff", lambda *_: 1.0)
    left.fault({"method": "list", "status": 503})
    run = attempt(2)
    with ThreadPoolExecutor(1) as pool:
        task = pool.submit(run.execute)
        eventually(lambda: left.requests().get("list"))
        run.operator.on_kill()
        ended = left.states()
        with pytest.raises(NotebookJobError, match="told this process to end: nothing is submitted"):
            task.result(30)
    assert ended == ["CANCELLED"]
    assert [line for line in logged() if re.match("The task is killed: .* was canceled", line)]


def killed_at_its_notebook(run: TaskRun, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have a person end the task while it reads its notebook."""

    def killed(*_: Any) -> Any:
        run.operator.on_kill()
        raise InterruptedError("killed")

    monkeypatch.setattr("airflow_nbjobs.run.build.prepare", killed)
    with pytest.raises(InterruptedError):
        run.execute()


def test_a_kill_while_reading_the_notebook_ends_the_earlier_job(left: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    killed_at_its_notebook(attempt(2), monkeypatch)
    assert left.states() == ["CANCELLED"]


def test_a_cleared_try_does_not_end_the_new_job(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    """The new try starts before the old one is killed."""
    monkeypatch.setattr("airflow_nbjobs.run.submit.LOOKS", (0.01,))
    cloud.fault({"job_state": "JOB_STATE_RUNNING"})
    attempt(3, 2, wait_for_completion=False).execute()
    killed_at_its_notebook(attempt(2), monkeypatch)
    assert cloud.states() == ["RUNNING"]


@pytest.mark.parametrize("error", [AirflowSkipException, AirflowFailException])
def test_a_final_exception_ends_the_job_though_retries_are_left(
    left: Cloud, error: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    def over(*_: Any) -> Any:
        raise error

    monkeypatch.setattr("airflow_nbjobs.run.build.prepare", over)
    with pytest.raises(error):
        attempt(2, 5).execute()
    assert left.states() == ["CANCELLED"]


def test_a_deferral_timeout_ends_the_job_without_its_note(left: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    run = attempt(1, deferrable=True)
    with pytest.raises(Exception, match="Trigger timeout"):
        run.resume("__fail__", {"error": "Trigger timeout"})
    assert left.states() == ["CANCELLED"]


@pytest.mark.usefixtures("brisk")
@pytest.mark.parametrize(("retries", "became"), [(1, "RUNNING"), (0, "CANCELLED")])
def test_an_invisible_job_is_ended_when_no_retry_is_left(cloud: Cloud, retries: int, became: str) -> None:
    """Reads are behind for longer than a task looks."""
    cloud.fault({"job_state": "JOB_STATE_RUNNING"})
    cloud.fault({"method": "get", "status": 404, "times": 5})
    with pytest.raises(NotebookJobGoneError) as failure:
        attempt(1, retries).execute()
    assert cloud.states() == [became]
    assert ("was canceled, since no retry is left" in str(failure.value)) is (retries == 0)


@pytest.mark.usefixtures("brisk")
@pytest.mark.parametrize(("retries", "became"), [(2, "RUNNING"), (1, "CANCELLED")])
def test_a_lost_job_that_cannot_be_replaced_is_ended_last(
    left: Cloud, retries: int, became: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The task re-attached to it, was deferred, and is resumed; no read shows the job then, and no list is had."""
    monkeypatch.setattr("airflow_nbjobs.api.retries.backoff", lambda *_: 0.0)
    run = attempt(2, retries, deferrable=True)
    run.defer()
    left.fault({"method": "get", "status": 404, "times": 5})
    left.fault({"method": "list", "status": 503, "times": 30})
    with pytest.raises(UnavailableError):
        run.told("gone")
    left.clear_faults()
    assert left.states() == [became]


def killed_by_a_timeout_while_loading(run: TaskRun, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let ``execution_timeout`` pass before the task is ready, and do what Airflow does then."""
    of, calls = TaskContext.of, iter([True])

    def slow(context: Any) -> TaskContext:
        if next(calls, False):
            raise AirflowTaskTimeout
        return of(context)

    monkeypatch.setattr(TaskContext, "of", slow)
    try:
        run.execute()
    except AirflowTaskTimeout:
        run.operator.on_kill()


def test_a_timeout_while_loading_ends_the_earlier_job(left: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    killed_by_a_timeout_while_loading(attempt(2, 2), monkeypatch)
    assert left.states() == ["CANCELLED"]


@pytest.mark.parametrize("try_number", [1, 2])
def test_an_unrenderable_template_leaves_the_job_to_the_retry(left: Cloud, try_number: int) -> None:
    """Nothing ends the job when templates fail, so that a retry must follow."""
    run = attempt(try_number, 2, labels={"a": "{{ no.x }}"})
    run.ti._ti_context_from_server = SimpleNamespace(next_method="execute_complete")  # type: ignore[attr-defined]
    with pytest.raises(InvalidNotebookJobError, match="'no' is undefined") as refusal:
        run.execute()
    assert not isinstance(refusal.value, AirflowFailException)
    assert left.states() == ["RUNNING"]

"""What Cloud Storage and Dataform do not give at once: asked for again, here and by a retry of the task."""

from __future__ import annotations

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_nbjobs.emulator import Emulator
from airflow_nbjobs.exceptions import ApiError, InvalidNotebookJobError, NotebookJobFailedError
from tests.support.cloud import Cloud
from tests.support.emulators import using
from tests.support.logged import Logged
from tests.support.papers import as_bytes, cell, notebook, sent, task

pytestmark = pytest.mark.usefixtures("brisk")
nbjobs_emulator_session = using("kernels")

REPOSITORY = "projects/p/locations/us-central1/repositories/flaky"
PAPER = notebook(cell("side = 1", "parameters"), cell("{'area': side ** 2}", "result"))


@pytest.fixture(scope="module", autouse=True)
def repository(kernels: Emulator) -> None:
    """Keep the notebook in Dataform."""
    kernels.commit(REPOSITORY, as_bytes(PAPER))


def test_unreadable_results_are_read_by_the_retry(cloud: Cloud, nobody: str, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = {"notebook": PAPER, "parameters": {"side": 3}, "retries": 1}
    first = task(**wanted)
    with monkeypatch.context() as away:
        away.setenv("STORAGE_EMULATOR_HOST", nobody)
        with pytest.raises(ApiError) as failure:
            first.to_its_end()
    assert failure.value.is_transient
    assert cloud.states() == ["SUCCEEDED"]
    retry = task(ti={"try_number": 2}, **wanted)
    assert retry.to_its_end()["results"] == {"area": 9}
    assert sent(retry)["name"] == sent(first)["name"]
    assert cloud.states() == ["SUCCEEDED"]


def test_an_unreadable_log_does_not_fail_the_task(
    project: str, nobody: str, monkeypatch: pytest.MonkeyPatch, logged: Logged
) -> None:
    run = task(notebook=PAPER, do_xcom_push=False, log_output="all")
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", nobody)
    assert run.to_its_end()["state"] == "JOB_STATE_SUCCEEDED"
    assert any("is not logged, since it could not be read" in line for line in logged())


@pytest.mark.parametrize("method", ["fetch_history", "read_file"])
def test_a_busy_dataform_is_asked_again(cloud: Cloud, method: str) -> None:
    cloud.fault({"method": method, "status": 503, "times": 2})
    run = task(notebook=REPOSITORY, parameters={"side": 4}, wait_for_completion=False)
    run.execute()
    assert cloud.requests()[method] == {"200": 1, "503": 2}
    assert "directNotebookSource" in sent(run)


def test_a_dataform_that_refuses_is_not_asked_again(cloud: Cloud) -> None:
    cloud.fault({"method": "read_file", "status": 403, "message": "no dataform.repositories.readFile"})
    with pytest.raises(InvalidNotebookJobError, match=r"Failed to read .*no dataform\.repositories\.readFile"):
        task(notebook=REPOSITORY, parameters={"side": 4}).execute()
    assert cloud.requests()["read_file"] == {"403": 1}
    assert cloud.states() == []


def test_an_unclear_failure_is_not_run_again(cloud: Cloud, nobody: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Airflow took the first try for dead, and retries it; Cloud Storage does not answer meanwhile."""
    wanted = {"notebook": notebook(cell("1 / 0")), "retry_on_notebook_error": False, "retries": 2}
    with pytest.raises(AirflowFailException):
        task(**wanted).to_its_end()
    with monkeypatch.context() as away:
        away.setenv("STORAGE_EMULATOR_HOST", nobody)
        with pytest.raises(NotebookJobFailedError, match=r"a cell may have raised: .*got no answer"):
            task(ti={"try_number": 2}, **wanted).to_its_end()
    with pytest.raises(AirflowFailException, match="ZeroDivisionError"):
        task(ti={"try_number": 3}, **wanted).to_its_end()
    assert cloud.states() == ["FAILED"]

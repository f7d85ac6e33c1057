"""When the executed notebook is looked for, and what it means that it is not there."""

from __future__ import annotations

import itertools
import logging
import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from airflow_nbjobs.api.client import Client
from airflow_nbjobs.api.job import NotebookExecutionJob
from airflow_nbjobs.api.pacing import PATIENT
from airflow_nbjobs.exceptions import ApiError, NotebookJobError, NotebookJobFailedError
from airflow_nbjobs.hooks import NotebookExecutionJobHook
from airflow_nbjobs.notebooks.storage import StoredObject, read_chunks
from airflow_nbjobs.run.result import Executed, ResultReader
from tests.support.cloud import Cloud
from tests.support.google_lookalike import Server
from tests.support.logged import Logged
from tests.support.papers import as_bytes, cell, notebook, task

pytestmark = pytest.mark.usefixtures("brisk")
PAPER = notebook(cell("print(1)"))


def find_executed(job: NotebookExecutionJob, **known: Any) -> Executed:
    """Look for a job's executed notebook as a task does that wants its results."""
    reader = ResultReader(
        hook=NotebookExecutionJobHook(),
        log=logging.getLogger(__name__),
        log_output="errors",
        unusable_results="fail",
        has_results=True,
        **known,
    )
    return reader.find(job)


@pytest.fixture
def storage(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> socket.socket:
    """Put a storage in place at which nobody has knocked yet."""
    listener = socket.create_server(("127.0.0.1", 0))
    listener.setblocking(False)
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", f"http://127.0.0.1:{listener.getsockname()[1]}")
    return listener


@pytest.mark.parametrize("deferrable", [False, True], ids=["here", "deferred"])
@pytest.mark.parametrize("log_output", ["errors", "none"])
def test_a_task_without_an_xcom_reads_nothing(
    project: str, storage: socket.socket, log_output: str, deferrable: bool
) -> None:
    with storage:
        run = task(notebook=PAPER, do_xcom_push=False, log_output=log_output, deferrable=deferrable)
        assert "results" not in run.to_its_end()
        with pytest.raises(BlockingIOError):
            storage.accept()


def test_a_missing_notebook_of_a_succeeded_job_is_a_warning(cloud: Cloud, logged: Logged) -> None:
    cloud.upload("gs://results/made", b"")
    result = task(notebook=PAPER).to_its_end()  # a simulated job leaves none
    assert (result["state"], result["results"]) == ("JOB_STATE_SUCCEEDED", None)
    assert any(
        "There are no results, since the executed notebook was not read: it does not exist" in line for line in logged()
    )


def test_an_unreadable_notebook_is_not_an_empty_result(
    cloud: Cloud,
    monkeypatch: pytest.MonkeyPatch,
    serve: Callable[..., Server],
    logged: Logged,
) -> None:
    denied = serve((403, {}, {"error": {"code": 403, "message": "No storage.objects.get.", "errors": []}}))
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", denied.url)
    with pytest.raises(
        NotebookJobError, match=r"Failed to read the results .*403.*s\.get.*account read it\. .*results='omit'"
    ):
        task(notebook=PAPER).to_its_end()
    assert task(notebook=PAPER, unusable_results="omit").to_its_end()["results"] is None
    assert any("executed notebook was not read: 403" in line for line in logged())


@pytest.mark.parametrize(("state", "looks"), [("SUCCEEDED", 2), ("FAILED", 1)])
def test_a_late_notebook_is_awaited_after_success(cloud: Cloud, state: str, looks: int) -> None:
    uri = f"gs://results/{cloud.project}/7/content.ipynb"
    cloud.upload(f"gs://results/{cloud.project}/made", b"")
    wire = {"name": "projects/p/locations/l/notebookExecutionJobs/7", "gcsOutputUri": f"gs://results/{cloud.project}"}
    job = NotebookExecutionJob.from_wire({**wire, "jobState": f"JOB_STATE_{state}"})
    pauses: list[float] = []

    def sleep(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 2:
            cloud.upload(uri, as_bytes(PAPER))

    executed = find_executed(job, sleep=sleep)
    assert (executed.uri, executed.is_missing) == ((uri, False) if state == "SUCCEEDED" else (None, True))
    assert len(pauses) == looks


@pytest.mark.parametrize(("times", "read"), [(1, True), (2, False)])
def test_a_notebook_rewritten_during_the_read_is_read_again(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch, times: int, read: bool
) -> None:
    """No fault of the emulator's comes between the two requests."""
    uri = f"gs://results/{cloud.project}/7/content.ipynb"
    cloud.upload(uri, as_bytes(PAPER))
    wire = {"name": "projects/p/locations/l/notebookExecutionJobs/7", "gcsOutputUri": f"gs://results/{cloud.project}"}
    job = NotebookExecutionJob.from_wire({**wire, "jobState": "JOB_STATE_SUCCEEDED"})
    newer = iter([notebook(cell("print(1)"), cell(f"# {number}")) for number in range(times)])

    def pieces(client: Client, found: StoredObject) -> Iterator[bytes]:
        for paper in itertools.islice(newer, 1):
            cloud.upload(uri, as_bytes(paper))
        return read_chunks(client, found)

    monkeypatch.setattr("airflow_nbjobs.notebooks.storage.read_chunks", pieces)
    executed = find_executed(job)
    assert executed.is_missing is False
    assert (executed.uri, executed.outcome and executed.outcome.cells) == ((uri, 2) if read else (None, None))
    assert ("404" in str(executed.problem)) is not read


def test_a_missing_notebook_after_a_failure_keeps_the_services_words(cloud: Cloud, logged: Logged) -> None:
    cloud.upload("gs://results/made", b"")
    said = "<p>No <b>kernel</b> &amp; \x1b[1;31mno\x1b[0m\r\n\u2028hope\u202e&#x2066;\x07</p>"
    cloud.fault({"job_state": "JOB_STATE_FAILED", "status_message": said})
    with pytest.raises(NotebookJobFailedError, match=r"No kernel & no hope\. Notebook job .*If cells ran") as failure:
        task(notebook=PAPER).to_its_end()
    assert failure.value.cell is None
    assert str(failure.value).isprintable()
    assert any(line.startswith("Notebook executions: http://") for line in logged())


def test_a_notebook_under_another_name_is_found(cloud: Cloud) -> None:
    cloud.fault({"job_state": "JOB_STATE_RUNNING"})
    run = task(notebook=PAPER, gcs_output_uri="gs://results/renamed", wait_for_completion=False)
    name = run.execute()["name"]
    folder = f"gs://results/renamed/{name.rpartition('/')[2]}"
    shown = {"output_type": "execute_result", "data": {"text/plain": "7"}, "execution_count": 1, "metadata": {}}
    executed = notebook({**cell("7", "result"), "outputs": [shown], "execution_count": 1})
    cloud.upload(f"{folder}/report-executed.ipynb", as_bytes(executed))
    assert run.ti.xcoms["_link_ExecutedNotebookLink"].endswith(f"/_emulator/jobs/{name.rpartition('/')[2]}/notebook")
    cloud.play(name, "JOB_STATE_SUCCEEDED")
    result = run.told(state="JOB_STATE_SUCCEEDED")
    assert (result["executed_notebook"], result["results"]) == (f"{folder}/report-executed.ipynb", {"result": 7})


def test_a_silent_repository_is_not_run_without_its_commit(cloud: Cloud) -> None:
    down = {"method": "fetch_history", "status": 503, "retry_after": 0, "times": PATIENT.tries}
    cloud.fault(down)
    with pytest.raises(ApiError, match="503"):
        task(notebook="projects/p/locations/us-central1/repositories/r").execute()
    assert cloud.book() == []


def test_a_commit_in_capitals_is_a_label_all_the_same(cloud: Cloud) -> None:
    repository = "projects/p/locations/us-central1/repositories/r"
    result = task(notebook=f"{repository}@ABCDEF12", wait_for_completion=False).execute()
    assert result["notebook_version"] == "abcdef12"

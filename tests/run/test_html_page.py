"""The executed notebook is written as HTML beside it, and a page that cannot be written fails no task."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from airflow.sdk import DAG, task

from airflow_nbjobs.api.job import NotebookExecutionJob
from airflow_nbjobs.exceptions import InvalidNotebookJobError, NotebookJobFailedError
from airflow_nbjobs.hooks import NotebookExecutionJobHook
from airflow_nbjobs.notebooks import render_process
from airflow_nbjobs.run.html_page import PageWriter
from airflow_nbjobs.run.result import Executed
from tests.support import papers
from tests.support.cloud import Cloud
from tests.support.emulators import using
from tests.support.google_lookalike import Server
from tests.support.logged import Logged
from tests.support.papers import as_bytes, cell, notebook
from tests.support.task_runs import JOB, TaskRun

nbjobs_emulator_session = using("kernels")

GOOD = notebook(cell("print('fine')"), cell("{'a': 1}", "result"))
BAD = notebook(cell("print('fine')"), cell("1 / 0"))
SUCCEEDED = NotebookExecutionJob.from_wire({"name": "projects/p/locations/l/x/7", "jobState": "JOB_STATE_SUCCEEDED"})


def described(cloud: Cloud, uri: str) -> dict[str, str]:
    """Return an object's description by Cloud Storage."""
    bucket, _, name = uri.removeprefix("gs://").partition("/")
    path = f"/storage/v1/b/{bucket}/o/{name.replace('/', '%2F')}"
    found: dict[str, str] = httpx.get(f"{cloud.emulator.storage_url}{path}", trust_env=False).json()
    return found


@pytest.mark.parametrize("deferrable", [False, True], ids=["here", "deferred"])
def test_the_page_lies_beside_the_executed_notebook(cloud: Cloud, deferrable: bool) -> None:
    result = papers.task(notebook=GOOD, html=True, deferrable=deferrable).to_its_end()
    assert result["executed_html"] == result["executed_notebook"].removesuffix(".ipynb") + ".html"
    assert result["results"] == {"a": 1}
    assert described(cloud, result["executed_html"])["contentType"] == "text/html; charset=utf-8"
    html = cloud.download(result["executed_html"]).decode()
    assert "<pre>fine</pre>" in html
    assert "<title>reports.report</title>" in html
    assert "failed-cell" not in html.partition("</style>")[2]


@pytest.mark.parametrize("deferrable", [False, True], ids=["here", "deferred"])
def test_a_failed_job_has_a_page_that_marks_the_cell(cloud: Cloud, deferrable: bool, logged: Logged) -> None:
    with pytest.raises(NotebookJobFailedError):
        papers.task(notebook=BAD, html=True, deferrable=deferrable).to_its_end()
    (line,) = [line for line in logged() if line.startswith("Executed notebook as HTML: ")]
    html = cloud.download(line.removeprefix("Executed notebook as HTML: ")).decode()
    assert '<a href="#failed-cell">Cell 2 failed</a>: <strong>ZeroDivisionError</strong>' in html


def test_the_page_is_written_without_results_too(cloud: Cloud) -> None:
    result = papers.task(notebook=GOOD, html=True, do_xcom_push=False, log_output="none").to_its_end()
    assert "fine" in cloud.download(result["executed_html"]).decode()


def test_a_task_without_html_writes_none(cloud: Cloud) -> None:
    assert "executed_html" not in papers.task(notebook=GOOD).to_its_end()


def test_a_function_of_parameters_may_want_the_page(cloud: Cloud) -> None:
    def make() -> Any:
        @task.notebook(**{**JOB, "notebook": GOOD, "html": True, "unknown_parameters": "warn"})  # type: ignore[untyped-decorator]
        def report() -> dict[str, int]:
            return {"a": 1}

        return report().operator

    assert TaskRun(make).to_its_end()["executed_html"].endswith(".html")


def test_a_retry_writes_the_same_page_once(cloud: Cloud) -> None:
    """A retry finds the job SUCCEEDED, and the page that its first try has written."""
    first = papers.task(notebook=GOOD, html=True)
    uri = first.to_its_end()["executed_html"]
    before = described(cloud, uri)["generation"]
    retry = papers.task(notebook=GOOD, html=True, ti={"try_number": 2}, retries=1)
    assert retry.to_its_end()["executed_html"] == uri
    assert described(cloud, uri)["generation"] == before


def test_another_page_is_replaced(cloud: Cloud, project: str) -> None:
    uri = f"gs://results/{project}/x"
    cloud.upload(f"{uri}.ipynb", as_bytes(GOOD))
    cloud.upload(f"{uri}.html", b"an older page")
    assert writer().write(SUCCEEDED, Executed(uri=f"{uri}.ipynb")) == f"{uri}.html"
    assert cloud.download(f"{uri}.html").startswith(b"<!DOCTYPE html>")


def writer(*, seconds: float = 1e9) -> PageWriter:
    return PageWriter(NotebookExecutionJobHook(), logging.getLogger("pages"), True, seconds)


def warning(caplog: pytest.LogCaptureFixture) -> str:
    (line,) = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    return line


def test_a_missing_extra_is_a_warning_with_the_remedy(
    cloud: Cloud, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, logged: Logged
) -> None:
    (tmp_path / "nh3.py").write_text("raise ModuleNotFoundError('no nh3', name='nh3')")
    monkeypatch.syspath_prepend(tmp_path)
    result = papers.task(notebook=GOOD, html=True).to_its_end()
    assert (result["executed_html"], result["results"]) == (None, {"a": 1})
    (line,) = [line for line in logged() if "not written as HTML" in line]
    assert line.endswith("nh3 is not installed. Install it: pip install 'airflow-nbjobs[ui]'.")


def test_a_refused_page_is_a_warning_with_the_remedy(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch, serve: Callable[..., Server], caplog: pytest.LogCaptureFixture
) -> None:
    denied = serve((403, {}, {"error": {"code": 403, "message": "No storage.objects.create.", "errors": []}}))
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", denied.url)
    assert writer().write(SUCCEEDED, Executed(uri="gs://results/x.ipynb")) is None
    assert "403: No storage.objects.create. Let the connection's account write" in warning(caplog)


def test_no_page_is_written_when_the_time_is_over(cloud: Cloud, caplog: pytest.LogCaptureFixture) -> None:
    assert writer(seconds=1.0).write(SUCCEEDED, Executed(uri="gs://results/x.ipynb")) is None
    assert "Raise execution_timeout." in warning(caplog)


def test_both_renderings_fit_into_the_time_that_is_left(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[float] = []

    def ended(_content: bytes, _request: Any, seconds: float) -> bytes:
        taken.append(seconds)
        raise render_process._Ended

    monkeypatch.setattr(render_process, "_render", ended)
    cloud.upload("gs://results/slow.ipynb", as_bytes(GOOD))
    assert writer(seconds=75.0).write(SUCCEEDED, Executed(uri="gs://results/slow.ipynb")) is None
    assert taken == [30.0, 30.0]


def test_no_page_is_written_without_an_executed_notebook(cloud: Cloud, caplog: pytest.LogCaptureFixture) -> None:
    assert writer().write(SUCCEEDED, Executed(problem="it does not exist", is_missing=True)) is None
    assert "the executed notebook could not be read: it does not exist." in warning(caplog)


def test_a_page_needs_a_task_that_waits() -> None:
    with DAG("d", schedule=None), pytest.raises(InvalidNotebookJobError, match="wait_for_completion=True"):
        papers.task(notebook=GOOD, html=True, wait_for_completion=False)

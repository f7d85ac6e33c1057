"""A notebook too large to be sent with its job is put into Cloud Storage, and removed from there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from airflow_nbjobs.api.calls import Call
from airflow_nbjobs.exceptions import (
    InvalidArgumentError,
    InvalidNotebookJobError,
    NotebookJobError,
    NotebookJobFailedError,
)
from airflow_nbjobs.hooks import NotebookExecutionJobHook
from airflow_nbjobs.operators import PruneNotebookExecutionJobsOperator
from tests.support.canaries import MARK
from tests.support.cloud import Cloud
from tests.support.papers import as_bytes, cell, notebook, sent, task
from tests.support.task_runs import REGION, TaskRun

PAPER = notebook(cell('day = "unset"', "parameters"), cell(f"print(day)  # {MARK}"))
RETRY = {"try_number": 2}
MODES = pytest.mark.parametrize("deferrable", [False, True], ids=["here", "deferred"])

Staged = Callable[[], list[str]]


@pytest.fixture
def staged(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> Staged:
    """Let each notebook be too large, and return what tells the copies that lie in this test's folder."""
    monkeypatch.setenv("AIRFLOW__NBJOBS__STAGING_BYTES", "100")
    cloud.upload(f"gs://results/{cloud.project}/made", b"")  # with its bucket
    return lambda: copies(cloud.project)


def copies(project: str) -> list[str]:
    """Return the names of the staged copies, without their folder."""
    with NotebookExecutionJobHook().storage_client() as client:
        call = Call(
            "GET",
            "/storage/v1/b/results/o",
            lambda answer: [each["name"] for each in answer.get("items", ())],
            {"prefix": f"{project}/nbjobs-staged/"},
        )
        return [name.rpartition("/")[2] for name in client.send(call)]


def large(project: str, **arguments: Any) -> Any:
    """Return a run of a task with a retry."""
    wanted = {"notebook": PAPER, "parameters": {"day": "{{ ds }}"}, "retries": 1, "do_xcom_push": False}
    return task(gcs_output_uri=f"gs://results/{project}", **{**wanted, **arguments})


@MODES
def test_the_copy_is_pinned_and_deleted_after_the_job(cloud: Cloud, staged: Staged, deferrable: bool) -> None:
    run = large(cloud.project, deferrable=deferrable)
    run.to_its_end()
    source = sent(run)["gcsNotebookSource"]
    submit = sent(run)["labels"]["nbjobs-submit"]
    assert source["uri"] == f"gs://results/{cloud.project}/nbjobs-staged/{submit}/notebook.ipynb"
    assert source["generation"].isdigit()
    assert "directNotebookSource" not in sent(run)
    assert staged() == []


def test_the_copy_is_what_would_have_been_sent(cloud: Cloud, staged: Staged, monkeypatch: pytest.MonkeyPatch) -> None:
    cloud.upload(f"gs://results/{cloud.project}/report.ipynb", as_bytes(PAPER))
    run = large(cloud.project, notebook=f"gs://results/{cloud.project}/report.ipynb", wait_for_completion=False)
    run.execute()
    assert staged() == ["report.ipynb"]
    copy = cloud.download(sent(run)["gcsNotebookSource"]["uri"]).decode()
    assert ('day = \\"2026-11-22\\"' in copy, "injected-parameters" in copy) == (True, True)
    assert cloud.download(f"gs://results/{cloud.project}/report.ipynb") == as_bytes(PAPER)


def test_a_notebook_over_the_limit_is_given_no_parameters(
    cloud: Cloud, staged: Staged, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW__NBJOBS__NOTEBOOK_BYTES", "100")
    uri = f"gs://results/{cloud.project}/report.ipynb"
    cloud.upload(uri, as_bytes(PAPER))
    with pytest.raises(InvalidNotebookJobError, match=f"{uri} has .* limit of 100 .*notebook_bytes"):
        large(cloud.project, notebook=uri).execute()
    assert (staged(), cloud.states()) == ([], [])
    large(cloud.project, notebook=uri, parameters=None).to_its_end()
    assert cloud.states() == ["SUCCEEDED"]


@MODES
def test_the_copy_of_a_job_that_failed_is_deleted_too(cloud: Cloud, staged: Staged, deferrable: bool) -> None:
    cloud.fault({"job_state": "JOB_STATE_FAILED"})
    with pytest.raises(NotebookJobFailedError):
        large(cloud.project, deferrable=deferrable).to_its_end()
    assert staged() == []


def test_a_task_that_is_killed_before_it_has_a_job_leaves_no_copy(cloud: Cloud, staged: Staged) -> None:
    run = large(cloud.project)
    run.operator.on_kill()
    with pytest.raises(NotebookJobError, match="The task was killed: nothing is submitted"):
        run.execute()
    assert (staged(), cloud.states()) == ([], [])


def test_the_copy_of_an_unreadable_job_stays(cloud: Cloud, staged: Staged) -> None:
    cloud.fault({"method": "get", "status": 403, "message": "No."})
    with pytest.raises(NotebookJobError, match="the retry re-attaches to it"):
        large(cloud.project, kill="leave").execute()
    assert (staged(), len(cloud.states())) == (["notebook.ipynb"], 1)


@pytest.mark.parametrize("size", ["100", "1000000"], ids=["large", "small"])
def test_another_refusal_is_the_end_and_leaves_no_copy(
    cloud: Cloud, staged: Staged, monkeypatch: pytest.MonkeyPatch, size: str
) -> None:
    monkeypatch.setenv("AIRFLOW__NBJOBS__STAGING_BYTES", size)
    cloud.fault({"method": "create", "status": 400, "message": "Invalid template."})
    with pytest.raises(InvalidArgumentError, match=r"Invalid template\."):
        large(cloud.project).execute()
    assert (staged(), cloud.requests()["create"]) == ([], {"400": 1})


def test_a_retry_that_adopts_leaves_no_copy(cloud: Cloud, staged: Staged) -> None:
    first = large(cloud.project, wait_for_completion=False)
    first.execute()
    retry = large(cloud.project, ti=RETRY)
    retry.to_its_end()
    assert retry.job_name == first.job_name
    assert (staged(), cloud.states()) == ([], ["SUCCEEDED"])


@pytest.mark.parametrize(
    "changed",
    [{"parameters": {"day": "another"}}, {"notebook": notebook(cell("day = 1", "parameters"))}],
    ids=["a parameter", "the notebook"],
)
def test_a_retry_of_another_request_adopts_nothing(cloud: Cloud, staged: Staged, changed: dict[str, Any]) -> None:
    first = large(cloud.project, wait_for_completion=False)
    first.execute()
    retry = large(cloud.project, ti=RETRY, **changed)
    retry.to_its_end()
    names = [run.job_name for run in (first, retry)]
    assert len(set(names)) == len(cloud.states()) == 2


@pytest.mark.parametrize("dry_run", [True, False], ids=["tried", "done"])
def test_pruning_deletes_the_copy_that_nobody_waited_with(
    cloud: Cloud, staged: Staged, monkeypatch: pytest.MonkeyPatch, dry_run: bool
) -> None:
    monkeypatch.setenv("AIRFLOW__NBJOBS__DEPLOYMENT", "https://airflow.example.com")
    cloud.fault({"job_state": "JOB_STATE_SUCCEEDED"})
    large(cloud.project, wait_for_completion=False).execute()
    assert staged() == ["notebook.ipynb"]
    prune = TaskRun(
        lambda: PruneNotebookExecutionJobsOperator(
            task_id="prune", location=REGION, older_than=0.000001, dry_run=dry_run
        )
    )
    assert prune.execute()["count"] == 1
    assert staged() == (["notebook.ipynb"] if dry_run else [])


def test_a_retry_adopts_a_job_sent_without_a_copy(
    cloud: Cloud, staged: Staged, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW__NBJOBS__STAGING_BYTES", "1000000")
    large(cloud.project, wait_for_completion=False).execute()
    monkeypatch.setenv("AIRFLOW__NBJOBS__STAGING_BYTES", "100")
    large(cloud.project, ti=RETRY).to_its_end()
    assert (staged(), len(cloud.states())) == ([], 1)

"""What OpenLineage is told about a run, and what Airflow's collector of lineage is told about notebooks."""

from __future__ import annotations

import sys
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.providers.common.compat.lineage import hook as compat_lineage
from airflow.providers.common.compat.sdk import Asset, TaskDeferred

from airflow_nbjobs.exceptions import NotebookJobFailedError
from airflow_nbjobs.lineage import lineage_of, report_read
from tests.support.cloud import Cloud
from tests.support.emulators import using
from tests.support.papers import as_bytes, cell, notebook, task
from tests.support.task_runs import NOTEBOOK

nbjobs_emulator_session = using("kernels")

REPOSITORY = "projects/p/locations/us-central1/repositories/r"
SHA = "0123456789abcdef0123456789abcdef01234567"
URL = f"https://dataform.googleapis.com/v1/{REPOSITORY}"


def paper(source: str, *tags: str) -> bytes:
    """Return a notebook of one cell, as a file."""
    return as_bytes(notebook(cell(source, *tags)))


def start(**arguments: Any) -> Any:
    """Return what is told before the task does anything."""
    return task(**arguments).operator.get_openlineage_facets_on_start()


def names(datasets: list[Any]) -> list[str]:
    """Return datasets as addresses, with their versions."""
    return [
        f"{each.namespace}/{each.name}" + (f"#{each.facets['version'].datasetVersion}" if each.facets else "")
        for each in datasets
    ]


@pytest.mark.parametrize(
    ("source", "inputs", "location"),
    [
        ("gs://bucket/a/x.ipynb", ["gs://bucket/a/x.ipynb"], ("gcs", "gs://bucket/a/x.ipynb", None)),
        ("gs://bucket/x.ipynb#17", ["gs://bucket/x.ipynb#17"], ("gcs", "gs://bucket/x.ipynb", "17")),
        ("gs://bucket/x#1/y.ipynb", ["gs://bucket/x#1/y.ipynb"], ("gcs", "gs://bucket/x#1/y.ipynb", None)),
        (REPOSITORY, [], ("git", URL, None)),
        (f"{REPOSITORY}@{SHA}", [], ("git", URL, SHA)),
        ("notebooks/x.ipynb", [], None),
        (NOTEBOOK, [], None),
    ],
    ids=["object", "generation", "hash in a name", "repository", "commit", "file", "dict"],
)
def test_the_source_is_told_when_the_task_starts(
    project: str, source: Any, inputs: list[str], location: tuple[str, ...] | None
) -> None:
    told = start(notebook=source)
    assert names(told.inputs) == inputs
    assert (told.outputs, told.run_facets) == ([], {})
    facet = told.job_facets.get("sourceCodeLocation")
    assert (facet and (facet.type, facet.url, facet.version)) == location


@pytest.mark.parametrize(
    ("uri", "dataset"),
    [
        ("bq://p.d.t", "bigquery/p.d.t"),
        ("bq://p/d/t", "bigquery/p.d.t"),
        ("bigquery://p/d/t", "bigquery/p.d.t"),
        ("gs://b/folder/", "gs://b/folder"),
        ("gs://b", "gs://b//"),
        ("just_a_name", None),
    ],
)
def test_declared_assets_are_datasets(project: str, uri: str, dataset: str | None) -> None:
    told = start(notebook=NOTEBOOK, inlets=[Asset(uri)], outlets=[Asset(uri)])
    assert names(told.inputs) == names(told.outputs) == ([dataset] if dataset else [])


@pytest.mark.parametrize("deferrable", [False, True], ids=["here", "deferred"])
def test_a_job_and_its_executed_notebook_are_told(cloud: Cloud, deferrable: bool) -> None:
    cloud.upload("gs://notebooks/lineage.ipynb", paper("print(1)"))
    run = task(notebook="gs://notebooks/lineage.ipynb", deferrable=deferrable)
    result = run.to_its_end()
    told = run.operator.get_openlineage_facets_on_complete(run.ti)
    assert names(told.inputs) == [f"gs://notebooks/lineage.ipynb#{result['notebook_version']}"]
    ((output),) = names(told.outputs)
    uri, _, generation = output.rpartition("#")
    assert uri == result["executed_notebook"]
    assert generation.isdigit()
    job = told.run_facets["nbjobs_job"]
    assert (job.name, job.jobId, job.state) == (result["name"], result["job_id"], "SUCCEEDED")
    assert job.links["Executed notebook"]
    assert told.run_facets["externalQuery"].externalQueryId == result["name"]


def test_a_failure_is_told_with_cell_and_traceback(cloud: Cloud) -> None:
    cloud.upload("gs://notebooks/raises.ipynb", paper("1 / 0"))
    run = task(notebook="gs://notebooks/raises.ipynb")
    with pytest.raises(NotebookJobFailedError):
        run.to_its_end()
    told = run.operator.get_openlineage_facets_on_failure(run.ti)
    error = told.run_facets["nbjobs_notebookError"]
    assert error.message == "Cell 1, line 1: ZeroDivisionError: division by zero (`1 / 0`)"
    assert error.stackTrace.endswith("ZeroDivisionError: division by zero")
    assert "\x1b" not in error.stackTrace
    assert told.run_facets["nbjobs_job"].state == "FAILED"
    assert len(told.outputs) == 1


def test_an_error_in_a_job_that_succeeded_is_no_failure(cloud: Cloud) -> None:
    code = paper("try:\n    1 / 0\nexcept ZeroDivisionError:\n    get_ipython().showtraceback()")
    cloud.upload("gs://notebooks/allowed.ipynb", code)
    run = task(notebook="gs://notebooks/allowed.ipynb")
    run.to_its_end()
    assert set(run.operator.get_openlineage_facets_on_complete(run.ti).run_facets) == {"nbjobs_job", "externalQuery"}


@pytest.mark.parametrize("state", ["FAILED", "CANCELLED", "SUCCEEDED"])
def test_without_an_executed_notebook_there_is_no_output(cloud: Cloud, state: str) -> None:
    cloud.fault({"job_state": ["JOB_STATE_QUEUED", f"JOB_STATE_{state}"]})
    run = task()
    with nullcontext() if state == "SUCCEEDED" else pytest.raises(NotebookJobFailedError):
        run.to_its_end()
    told = run.operator.get_openlineage_facets_on_failure(run.ti)
    assert told.outputs == []
    assert told.run_facets["nbjobs_job"].state == state


def test_a_task_that_does_not_wait_tells_its_job(cloud: Cloud) -> None:
    cloud.fault({"job_state": "JOB_STATE_RUNNING"})
    run = task(wait_for_completion=False)
    result = run.execute()
    told = run.operator.get_openlineage_facets_on_complete(run.ti)
    assert told.run_facets["nbjobs_job"].name == result["name"]
    assert told.outputs == []


def test_a_task_that_is_refused_tells_its_source(cloud: Cloud) -> None:
    cloud.fault({"method": "create", "status": 403})
    run = task()
    with pytest.raises(Exception, match="The emulator was asked to fail this create"):
        run.execute()
    told = run.operator.get_openlineage_facets_on_failure(run.ti)
    assert names(told.inputs) == ["gs://notebooks/report.ipynb"]
    assert told.run_facets == {}


def test_a_killed_deferral_tells_nothing_false(cloud: Cloud) -> None:
    cloud.fault({"job_state": "JOB_STATE_RUNNING"})
    run = task(deferrable=True)
    run.defer()
    told = run.operator.get_openlineage_facets_on_failure(run.ti)
    assert (told.outputs, "nbjobs_notebookError" in told.run_facets) == ([], False)


def test_the_executed_notebook_of_a_replaced_job_is_not_told(cloud: Cloud) -> None:
    cloud.fault({"job_state": "JOB_STATE_RUNNING", "times": 2})
    tries = {"deferrable": True, "retries": 1}
    task(**tries).defer()
    retry = task(ti={"try_number": 2}, **tries)
    retry.defer()
    (job,) = cloud.book()
    job_id = job["name"].rpartition("/")[2]
    cloud.upload(f"gs://results/runs/{job_id}/report.ipynb", paper("print(1)"))
    cloud.play(job["name"], "JOB_STATE_CANCELLED")
    with pytest.raises(TaskDeferred):
        retry.told()
    assert cloud.states() == ["CANCELLED", "RUNNING"]
    told = retry.operator.get_openlineage_facets_on_failure(retry.ti)
    assert names(told.outputs) == []
    assert told.run_facets["nbjobs_job"].jobId == cloud.book()[-1]["name"].rpartition("/")[2]


def test_nothing_is_told_without_the_provider(project: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "airflow.providers.openlineage.extractors", None)
    assert start() is None
    assert lineage_of(SimpleNamespace(), None) is None


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return a collector of lineage, as Airflow has it where somebody reads the lineage."""
    try:
        from airflow.sdk.lineage import HookLineageCollector
    except ImportError:  # Airflow 3.1
        from airflow.lineage.hook import HookLineageCollector
    found = HookLineageCollector()
    monkeypatch.setattr(compat_lineage, "get_hook_lineage_collector", lambda: found)
    return found


def collected(several: list[Any]) -> set[str]:
    """Return the URIs of what was collected."""
    return {each.asset.uri for each in several}


def test_notebooks_that_are_read_are_collected(cloud: Cloud, collector: Any) -> None:
    cloud.upload(
        "gs://notebooks/read.ipynb",
        paper("day = None", "parameters"),
    )
    result = task(notebook="gs://notebooks/read.ipynb", parameters={"day": 1}).to_its_end()
    assert collected(collector.collected_assets.inputs) == {"gs://notebooks/read.ipynb", result["executed_notebook"]}
    assert collected(collector.collected_assets.outputs) == set()


def test_notebooks_that_are_staged_are_collected(
    cloud: Cloud, collector: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("AIRFLOW__NBJOBS__STAGING_BYTES", "10")
    (tmp_path / "big.ipynb").write_bytes(paper("print(1)"))
    task(tmp_path, notebook="big.ipynb").to_its_end()
    (staged,) = collected(collector.collected_assets.outputs)
    assert staged.startswith("gs://results/runs/nbjobs-staged/")


def test_a_broken_collector_costs_no_job(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken() -> None:
        raise RuntimeError("a plugin is broken")

    monkeypatch.setattr(compat_lineage, "get_hook_lineage_collector", broken)
    report_read(object(), "gs://bucket/x.ipynb")
    assert "Failed to report the lineage of gs://bucket/x.ipynb: RuntimeError: a plugin is broken" in caplog.messages

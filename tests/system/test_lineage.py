"""OpenLineage's events of a real Airflow, written by its file transport."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from openlineage.client.facet_v2 import (
    dataset_version_dataset,
    error_message_run,
    external_query_run,
    source_code_location_job,
)

from airflow_nbjobs.emulator import Emulator
from airflow_nbjobs.lineage_facets import NotebookJobRunFacet
from demo.airflow_processes import LocalAirflow
from demo.airflow_rest import Run
from tests.support.emulator_api import notebook

DAGS = """
from airflow.sdk import Asset

del JOB["notebook"]
JOB |= {"gcs_output_uri": "gs://results/runs", "do_xcom_push": True}
with DAG("deferred", schedule=None):
    CreateNotebookExecutionJobOperator(
        notebook="gs://notebooks/ok.ipynb",
        deferrable=True,
        inlets=[Asset("bq://p.sales.visits"), Asset("bigquery://p/sales/days")],
        outlets=[Asset("gs://results/table.csv"), Asset("a_name_is_no_dataset")],
        **JOB,
    )
with DAG("failing", schedule=None):
    CreateNotebookExecutionJobOperator(notebook="gs://notebooks/raises.ipynb", **JOB)
with DAG("mapped", schedule=None):
    notebooks = ["gs://notebooks/ok.ipynb", "gs://notebooks/other.ipynb"]
    CreateNotebookExecutionJobOperator.partial(**JOB).expand(notebook=notebooks)
"""
FACETS = {
    "version": dataset_version_dataset.DatasetVersionDatasetFacet,
    "nbjobs_job": NotebookJobRunFacet,
    "nbjobs_notebookError": error_message_run.ErrorMessageRunFacet,
    "externalQuery": external_query_run.ExternalQueryRunFacet,
    "sourceCodeLocation": source_code_location_job.SourceCodeLocationJobFacet,
}
"""The facets that this package adds, and what describes them."""


@pytest.fixture(scope="module")
def cloud() -> Iterator[Emulator]:
    """Start an emulator with three notebooks."""
    with Emulator(cleanup_seconds=0.0) as emulator:
        emulator.upload("gs://notebooks/ok.ipynb", notebook("print(1)"))
        emulator.upload("gs://notebooks/other.ipynb", notebook("print(2)"))
        emulator.upload("gs://notebooks/raises.ipynb", notebook("visits = 0\n1 / visits"))
        emulator.upload("gs://results/made", b"")
        yield emulator


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the file to which Airflow writes its events."""
    return tmp_path_factory.mktemp("lineage") / "events.jsonl"


@pytest.fixture(scope="module")
def airflow(cloud: Emulator, written: Path, start_airflow: Any) -> Iterator[LocalAirflow]:
    """Start an Airflow that reports lineage."""
    transport = json.dumps({"type": "file", "log_file_path": str(written), "append": True})
    settings = {"AIRFLOW__OPENLINEAGE__TRANSPORT": transport, "AIRFLOW__OPENLINEAGE__NAMESPACE": "tests"}
    with start_airflow(DAGS, {**cloud.env, **settings}, "deferred", "failing", "mapped") as running:
        yield running


def run(airflow: LocalAirflow, dag_id: str, state: str) -> Run:
    """Run a DAG to its end."""
    run = airflow.rest.trigger(dag_id)
    airflow.wait(lambda: airflow.rest.run_state(run) in {"success", "failed"}, 180, "the run to end")
    assert airflow.rest.run_state(run) == state, airflow.rest.log(run, "report")
    return run


def events(airflow: LocalAirflow, written: Path, dag_id: str, last: str, count: int = 1) -> list[dict[str, Any]]:
    """Return the events of a DAG's task, when there are so many of the last kind."""

    def look() -> list[dict[str, Any]]:
        lines = written.read_text().splitlines() if written.exists() else []
        found = [event for event in map(json.loads, lines) if event["job"]["name"] == f"{dag_id}.report"]
        return found if [event["eventType"] for event in found].count(last) >= count else []

    return airflow.wait(look, 60, f"{last} of {dag_id}")


def ours(facets: dict[str, Any]) -> dict[str, Any]:
    """Return the facets of this package, as plain values; each has the fields of its class, and no others."""
    found = {}
    for name, facet in facets.items():
        if name in FACETS:
            assert facet["_schemaURL"].startswith("https://openlineage.io/spec/")
            assert facet["_producer"]
            plain = {key: value for key, value in facet.items() if not key.startswith("_")}
            assert FACETS[name](**plain)
            found[name] = plain
    return found


def datasets(several: list[dict[str, Any]]) -> list[tuple[str, str, dict[str, Any]]]:
    """Return datasets with our facets."""
    return [(each["namespace"], each["name"], ours(each["facets"])) for each in several]


def job_of(airflow: LocalAirflow, run: Run, map_index: int = -1) -> dict[str, Any]:
    """Return the note of a task's job."""
    return airflow.rest.xcom(run, "report", "notebook_execution_job", map_index)


def test_a_deferred_task_reports_notebooks_and_declared_data(airflow: LocalAirflow, written: Path) -> None:
    done = run(airflow, "deferred", "success")
    result, name = airflow.rest.xcom(done, "report"), job_of(airflow, done)["name"]
    job_id, version = result["job_id"], {"version": {"datasetVersion": result["notebook_version"]}}
    source = ("gs://notebooks", "ok.ipynb")
    declared = [("bigquery", "p.sales.visits", {}), ("bigquery", "p.sales.days", {})]
    made = ("gs://results", "table.csv", {})
    seen = events(airflow, written, "deferred", "COMPLETE")

    *starts, complete = seen
    assert {event["eventType"] for event in starts} == {"START"}
    assert len(starts) == 2  # of the task, and of the resumed task
    assert len({event["run"]["runId"] for event in seen}) == 1
    for start in starts:
        assert datasets(start["inputs"]) == [(*source, {}), *declared]
        assert datasets(start["outputs"]) == [made]
        assert ours(start["run"]["facets"]) == {}
        assert ours(start["job"]["facets"]) == {"sourceCodeLocation": {"type": "gcs", "url": "gs://notebooks/ok.ipynb"}}
        assert start["run"]["facets"]["parent"]["job"]["name"] == "deferred"
    assert datasets(complete["inputs"]) == [(*source, version), *declared]
    executed, other = datasets(complete["outputs"])
    assert executed[:2] == ("gs://results", f"runs/{job_id}/ok.ipynb")
    assert executed[2]["version"]["datasetVersion"].isdigit()
    assert other == made
    facets = ours(complete["run"]["facets"])
    links = facets["nbjobs_job"].pop("links")
    assert set(links) == {"Notebook executions", "Executed notebook"}  # the others lead to Google only
    assert facets == {
        "nbjobs_job": {
            "name": name,
            "jobId": job_id,
            "state": "SUCCEEDED",
            "notebookVersion": result["notebook_version"],
        },
        "externalQuery": {"externalQueryId": name, "source": "vertex_ai"},
    }
    assert ours(complete["job"]["facets"]) == {
        "sourceCodeLocation": {
            "type": "gcs",
            "url": "gs://notebooks/ok.ipynb",
            "version": result["notebook_version"],
        }
    }


def test_a_failed_task_reports_the_cell_and_its_traceback(airflow: LocalAirflow, written: Path) -> None:
    done = run(airflow, "failing", "failed")
    name = job_of(airflow, done)["name"]
    start, fail = events(airflow, written, "failing", "FAIL")
    assert start["eventType"] == "START"
    assert datasets(fail["inputs"])[0][:2] == ("gs://notebooks", "raises.ipynb")
    (executed,) = datasets(fail["outputs"])
    assert executed[:2] == ("gs://results", f"runs/{name.rpartition('/')[2]}/raises.ipynb")
    facets = ours(fail["run"]["facets"])
    error = facets["nbjobs_notebookError"]
    assert error["message"] == "Cell 1, line 2: ZeroDivisionError: division by zero (`1 / visits`)"
    assert error["programmingLanguage"] == "python"
    assert error["stackTrace"].splitlines()[-1] == "ZeroDivisionError: division by zero"
    assert facets["nbjobs_job"]["state"] == "FAILED"
    assert fail["run"]["facets"]["errorMessage"]["message"].startswith("Cell 1, line 2: ZeroDivisionError")


def test_mapped_tasks_report_their_own_jobs(airflow: LocalAirflow, written: Path) -> None:
    done = run(airflow, "mapped", "success")
    seen = events(airflow, written, "mapped", "COMPLETE", count=2)
    complete = [event for event in seen if event["eventType"] == "COMPLETE"]
    reported = {event["run"]["facets"]["nbjobs_job"]["name"]: event["inputs"][0]["name"] for event in complete}
    assert reported == {
        job_of(airflow, done, 0)["name"]: "ok.ipynb",
        job_of(airflow, done, 1)["name"]: "other.ipynb",
    }
    assert len({event["run"]["runId"] for event in seen}) == 2

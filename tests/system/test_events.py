"""DAGs that start when notebook jobs end, in a real Airflow whose triggerer is killed between two ends."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from airflow.triggers.base import BaseEventTrigger

from airflow_nbjobs.emulator import Emulator
from demo.airflow_processes import LocalAirflow
from demo.airflow_rest import Run
from tests.support.crowd import Service
from tests.system.conftest import PROJECT, RETRIES

if not hasattr(BaseEventTrigger, "create_shared_stream_producer"):
    pytest.skip("watchers of assets have a state since Airflow 3.3", allow_module_level=True)

DAGS = """
from airflow.sdk import DAG, Asset, AssetWatcher, task

from airflow_nbjobs.events import NotebookJobEventTrigger


@task
def tell(triggering_asset_events=None):
    return [event.extra["payload"]["display_name"] for events in triggering_asset_events.values() for event in events]


for name, asked in {"reports": {"display_name": "report-.*"}, "red": {"labels": {"team": "red"}}}.items():
    trigger = NotebookJobEventTrigger("us-central1", poll_interval=1, event_interval=8, **asked)
    with DAG(f"after_{name}", schedule=[Asset(name, watchers=[AssetWatcher(name=name, trigger=trigger)])]):
        tell()
"""
DAG_IDS = {"reports": "after_reports", "red": "after_red"}
# Airflow waits half a minute before it takes a triggerer for dead.
QUICK = {"AIRFLOW__TRIGGERER__TRIGGERER_HEALTH_CHECK_THRESHOLD": "6", "AIRFLOW__TRIGGERER__JOB_HEARTBEAT_SEC": "1"}


@pytest.fixture
def service(lasting: Emulator) -> Iterator[Service]:
    """Return what makes and ends jobs in the project of the watchers."""
    with Service(lasting, "local") as service:
        yield service


@pytest.fixture
def watching(service: Service, start_airflow: Any) -> Iterator[LocalAirflow]:
    """Start an Airflow whose watchers look at the emulator."""
    with start_airflow(DAGS, {**service.emulator.env, **QUICK, **RETRIES}) as running:
        yield running


def remembered(airflow: LocalAirflow, *names: str) -> dict[str, list[str]]:
    """Return the ids of the jobs that the watcher of each asset has reported; one that has not begun is missing."""
    found = {name: airflow.rest.asset_states(name) for name in names or DAG_IDS}
    return {
        name: [job for state in states.values() for job in state["jobs"]] for name, states in found.items() if states
    }


def runs(airflow: LocalAirflow) -> dict[str, list[list[str]]]:
    """Return what the finished runs of each DAG were told, the first run first."""
    told = {}
    for name, dag_id in DAG_IDS.items():
        found = airflow.rest.call("GET", f"/dags/{dag_id}/dagRuns", params={"order_by": "run_after"})["dag_runs"]
        done = [Run(dag_id, run["dag_run_id"]) for run in found if run["state"] == "success"]
        told[name] = [airflow.rest.xcom(run, "tell") for run in done]
    return told


def job(service: Service, name: str, **fields: Any) -> dict[str, Any]:
    return service.create(1, displayName=name, **fields)[0]


def test_each_end_starts_one_run_though_the_triggerer_is_killed(watching: LocalAirflow, service: Service) -> None:
    jobs = [job(service, f"report-{number}") for number in range(3)]
    red = [job(service, f"red-{number}", labels={"team": "red"}) for number in range(3)]
    others = service.create(110)  # more than a page
    watching.wait(lambda: len(remembered(watching)) == 2, 120, "the watchers to begin")
    service.succeed(jobs[0])
    service.succeed(red[0])
    watching.wait(lambda: all(remembered(watching).values()), 60, "the first ends to be reported")

    watching.kill("triggerer")
    service.succeed(jobs[1])
    service.succeed(red[1])
    service.end(others)
    watching.start_component("triggerer")
    watching.wait(lambda: all(len(told) == 2 for told in runs(watching).values()), 120, "the second runs")
    service.succeed(jobs[2])
    service.succeed(red[2])
    watching.wait(lambda: all(len(told) == 3 for told in runs(watching).values()), 120, "the third runs")

    assert runs(watching) == {
        "reports": [["report-0"], ["report-1"], ["report-2"]],
        "red": [["red-0"], ["red-1"], ["red-2"]],
    }


def test_the_example_starts_when_a_notebook_has_run(airflow: LocalAirflow, cloud: Emulator) -> None:
    dag = "/dags/started_by_a_notebook"
    airflow.wait(lambda: airflow.rest.knows("started_by_a_notebook"), 60, "the DAG to be parsed")
    airflow.rest.call("PATCH", dag, json={"is_paused": False})
    token = airflow.rest.call("GET", f"{dag}/details")["file_token"]
    airflow.rest.call("PUT", f"/parseDagFile/{token}")  # a watcher begins when its file is parsed again
    airflow.wait(lambda: remembered(airflow, "visits_reports"), 120, "the watcher to begin")
    try:
        notebook = {"gcsNotebookSource": {"uri": "gs://nbjobs-examples/notebooks/wine.ipynb"}}
        with Service(cloud, PROJECT) as others:
            made = job(others, "visits-report-7", **notebook, gcsOutputUri="gs://nbjobs-examples/runs")
        runs = airflow.wait(lambda: airflow.rest.call("GET", f"{dag}/dagRuns")["dag_runs"], 180, "a run")
        run = Run("started_by_a_notebook", runs[0]["dag_run_id"])
        airflow.wait(lambda: airflow.rest.run_state(run) == "success", 120, "the run to succeed")
        (sentence,) = airflow.rest.xcom(run, "tell")
        assert sentence.startswith("visits-report-7 ended at ")
        assert sentence.endswith(f"gs://nbjobs-examples/runs/{made['name'].rpartition('/')[2]}/wine.ipynb")
    finally:
        airflow.rest.call("PATCH", dag, json={"is_paused": True})

"""The first example in real Airflow processes: deferred, resumed, and linked to from the UI all the while."""

from __future__ import annotations

import json

import httpx2
import pytest

from airflow_nbjobs.emulator import Emulator
from demo.airflow_processes import COMPONENTS, ComponentDiedError, LocalAirflow
from demo.airflow_rest import Run

DAG, TASK = "hello_notebook", "wine_report"
LINKS = {"Notebook executions", "Executed notebook", "Notebook logs"}


def start(airflow: LocalAirflow) -> Run:
    """Trigger the example as soon as Airflow knows it."""
    airflow.wait(lambda: airflow.rest.knows(DAG), 60, "the example to be parsed")
    return airflow.rest.trigger(DAG)


def links(airflow: LocalAirflow, run: Run) -> dict[str, str]:
    """Return the links that have an address."""
    return {name: url for name, url in airflow.rest.links(run, TASK).items() if url}


def wait_for_state(airflow: LocalAirflow, run: Run, *states: str) -> dict[str, object]:
    """Wait until the task is in one of the states, and return it."""

    def look() -> dict[str, object] | None:
        task = airflow.rest.task(run, TASK)
        return task if task["state"] in states else None

    task = airflow.wait(look, 90, f"the task to be {' or '.join(states)}")
    assert task is not None
    return task


def test_a_task_defers_and_resumes_and_its_links_work(airflow: LocalAirflow, cloud: Emulator) -> None:
    run = start(airflow)

    deferred = wait_for_state(airflow, run, "deferred", "success", "failed")
    assert deferred["state"] == "deferred"
    while_it_runs = links(airflow, run)
    assert set(while_it_runs) == LINKS

    assert wait_for_state(airflow, run, "success", "failed")["state"] == "success", airflow.rest.log(run, TASK)
    result = airflow.rest.xcom(run, TASK)
    assert result["state"] == "JOB_STATE_SUCCEEDED"
    assert links(airflow, run) == while_it_runs
    assert result["executed_notebook"].removeprefix("gs://") in while_it_runs["Executed notebook"]


def test_the_connection_in_airflows_database_is_used(airflow: LocalAirflow, cloud: Emulator) -> None:
    extra = json.dumps({"project": "measured"})
    airflow.rest.add_connection("google_cloud_default", "google_cloud_platform", extra=extra)
    try:
        run = start(airflow)
        assert wait_for_state(airflow, run, "success", "failed")["state"] == "success", airflow.rest.log(run, TASK)
    finally:
        airflow.rest.call("DELETE", "/connections/google_cloud_default")
    assert all("project=measured" in url for url in links(airflow, run).values())


def test_a_task_outlives_a_triggerer_that_is_killed(airflow: LocalAirflow, cloud: Emulator) -> None:
    before = len(cloud.book())
    run = start(airflow)
    assert wait_for_state(airflow, run, "deferred", "success", "failed")["state"] == "deferred"

    airflow.kill("triggerer")
    airflow.start_component("triggerer")

    assert wait_for_state(airflow, run, "success", "failed")["state"] == "success", airflow.rest.log(run, TASK)
    assert len(cloud.book()) == before + 1


@pytest.mark.parametrize("what", ["list", "links"])
def test_airflow_lists_the_provider(airflow: LocalAirflow, what: str) -> None:
    printed = airflow.command("providers", what, "--output", "plain")
    assert {"list": "airflow-nbjobs", "links": "airflow_nbjobs.links.ExecutedNotebookLink"}[what] in printed


def test_only_the_loopback_interface_is_listened_on(airflow: LocalAirflow) -> None:
    import psutil

    listening = set()
    for component in COMPONENTS:
        process = psutil.Process(airflow.pid(component))
        for each in [process, *process.children(recursive=True)]:
            listening |= {at.laddr.ip for at in each.net_connections("inet") if at.status == psutil.CONN_LISTEN}
    assert listening == {"127.0.0.1"}


def test_a_stranger_is_not_let_in(airflow: LocalAirflow) -> None:
    assert httpx2.get(f"{airflow.url}/api/v2/connections", trust_env=False).status_code == httpx2.codes.UNAUTHORIZED


def test_a_dead_component_is_reported_with_its_log(airflow: LocalAirflow) -> None:
    import psutil

    psutil.Process(airflow.pid("dag-processor")).kill()
    with pytest.raises(ComponentDiedError, match=r"dag-processor ended with exit code -9\. The end of"):
        airflow.wait(lambda: False, 10, "the death to be noticed")
    airflow.kill("dag-processor")
    airflow.start_component("dag-processor")

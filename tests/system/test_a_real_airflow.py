"""Examples in real Airflow processes: deferred and resumed, linked to from the UI, and backfilled for a week."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest

from airflow_nbjobs.emulator import Emulator
from demo.airflow_processes import COMPONENTS, ComponentDiedError, LocalAirflow
from demo.airflow_rest import Run

DAG, TASK = "hello_notebook", "wine_report"
DAILY = "daily_report"
DAYS = [f"2026-11-{day}" for day in range(16, 23)]
LINKS = {"Notebook executions", "Executed notebook", "Notebook logs"}


def start(airflow: LocalAirflow) -> Run:
    """Trigger the example as soon as Airflow knows it."""
    airflow.wait(lambda: airflow.rest.knows(DAG), 60, "the example to be parsed")
    return airflow.rest.trigger(DAG)


def links(airflow: LocalAirflow, run: Run) -> dict[str, str]:
    """Return the links that have an address, without the time from which logs are shown: it is not known at first."""
    found = {name: url for name, url in airflow.rest.links(run, TASK).items() if url}
    return {name: re.sub(r"&cursorTimestamp=[^&]*", "", url) for name, url in found.items()}


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
    assert all("project=from-the-database" in url for url in while_it_runs.values())
    assert cloud.book("from-the-database")[-1]["state"] == "JOB_STATE_SUCCEEDED"
    assert result["executed_notebook"].removeprefix("gs://") in while_it_runs["Executed notebook"]


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
    assert httpx.get(f"{airflow.url}/api/v2/connections", trust_env=False).status_code == httpx.codes.UNAUTHORIZED


def test_a_dead_component_is_reported_with_its_log(airflow: LocalAirflow) -> None:
    import psutil

    psutil.Process(airflow.pid("dag-processor")).kill()
    with pytest.raises(ComponentDiedError, match=r"dag-processor ended with exit code -9\. The end of"):
        airflow.wait(lambda: False, 10, "the death to be noticed")
    airflow.kill("dag-processor")
    airflow.start_component("dag-processor")


def backfilled(airflow: LocalAirflow) -> dict[str, Run]:
    """Return the runs that a backfill asked for, by their days."""
    found = airflow.rest.call("GET", f"/dags/{DAILY}/dagRuns", params={"run_type": "backfill"})["dag_runs"]
    return {run["logical_date"][:10]: Run(DAILY, run["dag_run_id"]) for run in found}


def are_over(airflow: LocalAirflow) -> bool:
    """Tell whether there is a run for each day, and none goes on."""
    runs = backfilled(airflow).values()
    return len(runs) == len(DAYS) and all(airflow.rest.run_state(run) in {"success", "failed"} for run in runs)


@contextmanager
def nobody_else_writing(airflow: LocalAirflow) -> Iterator[None]:
    """Stop the processes that write to the database meanwhile: on SQLite the command fails where it meets a lock."""
    writers = ("scheduler", "dag-processor", "triggerer")
    for component in writers:
        airflow.kill(component)
    yield
    for component in writers:
        airflow.start_component(component)


def test_a_backfill_of_a_week_gives_seven_different_reports(airflow: LocalAirflow, cloud: Emulator) -> None:
    before = len(cloud.book())
    airflow.wait(lambda: airflow.rest.knows(DAILY), 60, "the example to be parsed")
    with nobody_else_writing(airflow):
        # A paused DAG runs no backfill; unpaused it runs for yesterday too, which is not one of these days.
        airflow.command("dags", "unpause", DAILY)
        airflow.command("backfill", "create", "--dag-id", DAILY, "--from-date", DAYS[0], "--to-date", DAYS[-1])
    airflow.wait(lambda: are_over(airflow), 300, "the backfill to be over")
    airflow.rest.call("PATCH", f"/dags/{DAILY}", json={"is_paused": True})

    runs = backfilled(airflow)
    assert sorted(runs) == DAYS
    assert {day: airflow.rest.run_state(run) for day, run in runs.items()} == dict.fromkeys(DAYS, "success")
    results = {day: airflow.rest.xcom(run, "report")["results"] for day, run in runs.items()}
    assert {day: result["day"] for day, result in results.items()} == {day: day for day in DAYS}
    assert len({result["visits"] for result in results.values()}) == len(DAYS)
    for day, run in runs.items():
        assert airflow.rest.xcom(run, "tell").startswith(f"{day}: {results[day]['visits']:,} visits")
    names = [job["displayName"] for job in cloud.book()[before:]]
    assert len(set(names)) == len(names) >= len(DAYS)

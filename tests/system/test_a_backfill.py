"""A week of the daily report by `airflow backfill create`, in real Airflow processes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from airflow_nbjobs.emulator import Emulator
from demo.airflow_processes import LocalAirflow
from demo.airflow_rest import Run

DAG = "daily_report"
DAYS = [f"2026-11-{day}" for day in range(16, 23)]


def backfilled(airflow: LocalAirflow) -> dict[str, Run]:
    """Return the runs that a backfill asked for, by their days."""
    found = airflow.rest.call("GET", f"/dags/{DAG}/dagRuns", params={"run_type": "backfill"})["dag_runs"]
    return {run["logical_date"][:10]: Run(DAG, run["dag_run_id"]) for run in found}


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
    airflow.wait(lambda: airflow.rest.knows(DAG), 60, "the example to be parsed")
    with nobody_else_writing(airflow):
        # A paused DAG runs no backfill; unpaused it runs for yesterday too, which is none of these days.
        airflow.command("dags", "unpause", DAG)
        airflow.command("backfill", "create", "--dag-id", DAG, "--from-date", DAYS[0], "--to-date", DAYS[-1])
    airflow.wait(lambda: are_over(airflow), 300, "the backfill to be over")
    airflow.rest.call("PATCH", f"/dags/{DAG}", json={"is_paused": True})

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

"""DAGs that start when jobs end, while the triggerer is killed between two ends."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from chaos.actions import Action
from chaos.running import RECOVER_SECONDS, Verdict
from chaos.site import OUTAGE_SECONDS, Site
from demo.airflow_rest import Run

PROJECT = "chaos-events"
SIDES = "ab"
ENDS = 4
"""How many jobs of each side end; the triggerer is killed between them."""

SETTLE_SECONDS = 15.0
"""Time for a run that should not start."""


def watch(site: Site, action: Action, numbers: Iterable[int]) -> list[Verdict]:
    """Let jobs end one after the other, each pair with the triggerer dead, and compare the runs of the two DAGs."""
    with _unpaused(site):
        return [_watch(site, action, number) for number in numbers]


@contextmanager
def _unpaused(site: Site) -> Iterator[None]:
    _pause(site, is_paused=False)
    try:
        yield
    finally:
        _pause(site, is_paused=True)


def _pause(site: Site, *, is_paused: bool) -> None:
    for side in SIDES:
        dag = f"/dags/chaos_after_{side}"
        _call(site, "PATCH", dag, json={"is_paused": is_paused})
    # Watchers begin and end when their file is parsed again.
    token = _call(site, "GET", f"{dag}/details")["file_token"]
    _call(site, "PUT", f"/parseDagFile/{token}")


def _watch(site: Site, action: Action, number: int) -> Verdict:
    names = {side: [f"{side}-{number}-{end}" for end in range(ENDS)] for side in SIDES}
    has_begun = site.until(lambda: all(_reported(site, side) is not None for side in SIDES), RECOVER_SECONDS)
    before = {side: len(_runs(site, side)) for side in SIDES}
    for side in SIDES:
        for name in names[side]:
            site.cloud.request_fault({"job_state": "JOB_STATE_RUNNING", "project": PROJECT})
            site.cloud.create(PROJECT, name)
    jobs = {job["displayName"]: job for job in site.cloud.jobs(PROJECT)}
    for end in range(ENDS):
        if end:
            site.airflow.kill("triggerer")
        for side in SIDES:
            site.cloud.set_state(jobs[names[side][end]], "SUCCEEDED")
        if end:
            time.sleep(OUTAGE_SECONDS)
            site.airflow.start_component("triggerer")
        ended = {side: jobs[names[side][end]]["id"] for side in SIDES}
        site.until(lambda: all(ended[side] in (_reported(site, side) or ()) for side in SIDES), RECOVER_SECONDS)  # noqa: B023 - within the round
    site.until(lambda: all(len(_told(site, side, before[side])) >= ENDS for side in SIDES), RECOVER_SECONDS)
    site.until(lambda: False, SETTLE_SECONDS)
    told = {side: _told(site, side, before[side]) for side in SIDES}
    events = [name for runs in told.values() for run in runs for name in run]
    return Verdict(
        number=number,
        row=action.row,
        ids=action.ids,
        duplicates=len(events) - len(set(events)),
        lost=int(told != {side: [[name] for name in names[side]] for side in SIDES}),
        missed=int(not has_begun),
        note=f"chaos-{number:04d}: the runs were told {told}",
        jobs=[jobs[name] for side in SIDES for name in names[side]],
    )


def _reported(site: Site, side: str) -> set[str] | None:
    """Return the ids of the jobs that a watcher has reported; ``None`` before it has begun."""
    states = site.patiently(lambda: site.airflow.rest.asset_states(f"chaos_{side}"))
    return {job for state in states.values() for job in state["jobs"]} if states else None


def _runs(site: Site, side: str) -> list[dict[str, Any]]:
    """Return the runs of a DAG, the oldest first."""
    found = _call(site, "GET", f"/dags/chaos_after_{side}/dagRuns", params={"order_by": "run_after"})["dag_runs"]
    return list(found)


def _told(site: Site, side: str, before: int) -> list[list[str]]:
    """Return what the new runs of a DAG that have succeeded were told."""
    done = [run["dag_run_id"] for run in _runs(site, side)[before:] if run["state"] == "success"]
    runs = [Run(f"chaos_after_{side}", run_id) for run_id in done]
    return [site.patiently(lambda run=run: site.airflow.rest.xcom(run, "tell")) for run in runs]  # type: ignore[misc]


def _call(site: Site, method: str, path: str, **arguments: Any) -> Any:
    return site.patiently(lambda: site.airflow.rest.call(method, path, **arguments))

"""The CPU of a task's process up to its deferral, without Airflow's own part."""

from __future__ import annotations

import json
import sys
import time
from typing import Any

from airflow.providers.common.compat.sdk import TaskDeferred

from bench.measure import ROUNDS, combined, in_fresh_process
from bench.services import Ours, Vertex
from bench.services import ours as our_service
from tests.support.task_runs import JOB, TaskRun


def measure() -> dict[str, Any]:
    """Run each side's task in processes of its own, in turns, and return the medians of both sides.

    :returns: for ``"ours"`` and ``"vertex"``, ``cpu_seconds`` and the class path of the ``trigger``.
    :raises RuntimeError: if a task defers to another trigger than that of its side.
    """
    runs: dict[str, list[dict[str, Any]]] = {"ours": [], "vertex": []}
    with our_service() as service:
        for _ in range(ROUNDS):
            for side, found in runs.items():
                found.append(in_fresh_process("bench.deferring", side, env=service.env))
    triggers = {side: {run["trigger"] for run in found} for side, found in runs.items()}
    if triggers != {"ours": {Ours.classpath}, "vertex": {Vertex.classpath}}:
        raise RuntimeError(f"A task did not defer to the trigger of its side: {triggers}")
    return {side: combined(found) for side, found in runs.items()}


def ours() -> Any:
    """Return our operator; it creates its job on the emulator of the environment."""
    from airflow_nbjobs.operators import CreateNotebookExecutionJobOperator

    return CreateNotebookExecutionJobOperator(task_id="run", deferrable=True, project_id="bench", **JOB)


def vertex() -> Any:
    """Return the peer's operator, whose job exists already."""
    from bench.vertex_operator import Operator

    return Operator(task_id="run", job="projects/bench/locations/us-central1/batchPredictionJobs/1", poll_interval=10)


def main(side: str) -> None:
    """Run a task up to its deferral, and print its CPU time."""
    begun = time.process_time()
    try:
        TaskRun({"ours": ours, "vertex": vertex}[side]).execute()
    except TaskDeferred as deferral:
        classpath, _ = deferral.trigger.serialize()
        print(json.dumps({"cpu_seconds": time.process_time() - begun, "trigger": classpath}))


if __name__ == "__main__":
    main(*sys.argv[1:])

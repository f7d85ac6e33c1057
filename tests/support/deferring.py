"""What a process pays for a deferrable task up to its deferral, beyond Airflow's own part: imports and the work."""

from __future__ import annotations

import json
import sys
import time
from typing import Any

from airflow.providers.common.compat.sdk import TaskDeferred

from tests.support.task_runs import JOB, TaskRun


def ours() -> Any:
    """Make our operator; the emulator that the environment names gets its create."""
    from airflow_nbjobs.operators import CreateNotebookExecutionJobOperator

    return CreateNotebookExecutionJobOperator(task_id="run", deferrable=True, project_id="bench", **JOB)


def vertex() -> Any:
    """Make the peer's, whose job is there already."""
    from bench.vertex_operator import Operator

    return Operator(task_id="run", job="projects/bench/locations/us-central1/batchPredictionJobs/1", poll_interval=10)


def main(side: str) -> None:
    """Run a task up to its deferral, and print what it took."""
    begun = time.process_time()
    try:
        TaskRun({"ours": ours, "vertex": vertex}[side]).execute()
    except TaskDeferred as deferral:
        classpath, _ = deferral.trigger.serialize()
        print(json.dumps({"cpu_seconds": time.process_time() - begun, "trigger": classpath}))


if __name__ == "__main__":
    main(*sys.argv[1:])

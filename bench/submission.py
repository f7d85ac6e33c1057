"""Three hundred tasks that submit at once, and a service that takes sixty jobs a minute."""

from __future__ import annotations

import collections
import logging
import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from airflow_nbjobs.emulator import Emulator

COUNT, QUOTA = 300, 60


def measure(count: int = COUNT, quota: int = QUOTA) -> dict[str, Any]:
    """Submit them from as many threads, and return how long it took and what the service has in its book.

    Threads stand for workers: each has a connection and a client of its own, as a task process does.
    """
    logging.disable(logging.WARNING)
    with Emulator(runner="simulated", seconds=5.0, cleanup_seconds=0.0) as emulator:
        os.environ.update(emulator.env)
        emulator.fault({"quota": {"create": quota}})
        begun = time.monotonic()
        with ThreadPoolExecutor(count) as workers:
            ended = list(workers.map(_submit, range(count)))
        seconds = time.monotonic() - begun
        names = collections.Counter(entry["displayName"] for entry in emulator.book())
        requests = emulator.requests()
    return {
        "seconds": seconds,
        # What fits into the first minute goes at once, and the last of the rest when the last minute begins.
        "ideal_seconds": 60.0 * ((count - 1) // quota),
        "failed": sum(1 for error in ended if error is not None),
        "errors": sorted({error for error in ended if error is not None})[:3],
        "jobs": sum(names.values()),
        "twice": sum(1 for made in names.values() if made > 1),
        "creates_refused": requests["create"].get("429", 0),
        "other_requests": sum(sum(counts.values()) for method, counts in requests.items() if method != "create"),
    }


def _submit(number: int) -> str | None:
    """Do what a create task does up to its deferral; return what went wrong."""
    from airflow.providers.common.compat.sdk import TaskDeferred

    from airflow_nbjobs.operators import CreateNotebookExecutionJobOperator
    from tests.airflow.task_runs import JOB, TaskRun

    def operator() -> CreateNotebookExecutionJobOperator:
        return CreateNotebookExecutionJobOperator(task_id=f"wave_{number}", deferrable=True, project_id="bench", **JOB)

    try:
        TaskRun(operator).execute()
    except TaskDeferred:
        return None
    except Exception as error:  # noqa: BLE001 - whatever it is, it is a task that failed
        return f"{type(error).__name__}: {error}"[:200]
    return None


if __name__ == "__main__":
    print(measure(*map(int, sys.argv[1:])))

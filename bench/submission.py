"""300 tasks that submit at once, with a quota of 60 jobs per minute."""

from __future__ import annotations

import collections
import json
import logging
import os
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import pairwise
from typing import Any

from airflow_nbjobs.emulator import Emulator
from bench.measure import ROUNDS, combined, in_fresh_process
from bench.waiting import most_in_a_minute

COUNT, QUOTA = 300, 60
_QUOTA_OF_CREATES = {"quota": {"create": QUOTA}}
_SAMPLE_SECONDS = 5.0
_APART_SECONDS = 35.0


def in_rounds() -> dict[str, Any]:
    """Submit the jobs several times, each time in a new process, and return the medians.

    A wave takes the machine for some seconds when it begins, and sleeps then: the next one begins meanwhile.
    """

    def one(number: int) -> dict[str, Any]:
        time.sleep(number * _APART_SECONDS)
        return in_fresh_process("bench.submission")

    with ThreadPoolExecutor(ROUNDS) as pool:
        return combined(list(pool.map(one, range(ROUNDS))))


def measure(count: int = COUNT, fault: Mapping[str, Any] = _QUOTA_OF_CREATES) -> dict[str, Any]:
    """Submit the jobs from as many threads, and return the duration and what the service has recorded.

    :param fault: what keeps the emulator from taking them all at once.

    Threads stand for workers: each has a connection and a client of its own, as a task process does.
    """
    logging.disable(logging.WARNING)
    with Emulator(runner="simulated", seconds=5.0, cleanup_seconds=0.0) as emulator:
        os.environ.update(emulator.env)
        emulator.fault(fault)
        with ThreadPoolExecutor(count) as workers, _sampled(emulator) as creates:
            begun = time.monotonic()
            ended = list(workers.map(_submit, range(count)))
            seconds = time.monotonic() - begun
        names = collections.Counter(entry["displayName"] for entry in emulator.book())
        requests = emulator.requests()
    return {
        "seconds": seconds,
        # What fits into the first minute goes at once, and the last of the rest when the last minute begins.
        "ideal_seconds": 60.0 * ((count - 1) // QUOTA),
        "even_seconds": 60.0 * count / QUOTA,
        "failed": sum(1 for error in ended if error is not None),
        "errors": sorted({error for error in ended if error is not None})[:3],
        "jobs": sum(names.values()),
        "twice": sum(1 for made in names.values() if made > 1),
        "creates_refused": requests["create"].get("429", 0),
        "most_creates_in_a_minute": most_in_a_minute([now - then for then, now in pairwise(creates)], _SAMPLE_SECONDS),
        "other_requests": sum(sum(counts.values()) for method, counts in requests.items() if method != "create"),
    }


@contextmanager
def _sampled(emulator: Emulator) -> Iterator[list[int]]:
    """Count the create requests repeatedly until the block ends."""
    counts, is_over = [0], threading.Event()

    def sample() -> None:
        while not is_over.wait(_SAMPLE_SECONDS):
            counts.append(sum(emulator.requests().get("create", {}).values()))

    thread = threading.Thread(target=sample)
    thread.start()
    try:
        yield counts
    finally:
        is_over.set()
        thread.join()


def _submit(number: int) -> str | None:
    """Do what a create task does up to its deferral; return what went wrong."""
    from airflow.providers.common.compat.sdk import TaskDeferred

    from airflow_nbjobs.operators import CreateNotebookExecutionJobOperator
    from tests.support.task_runs import JOB, TaskRun

    def operator() -> CreateNotebookExecutionJobOperator:
        return CreateNotebookExecutionJobOperator(task_id=f"wave_{number}", deferrable=True, project_id="bench", **JOB)

    try:
        TaskRun(operator).execute()
    except TaskDeferred:
        return None
    except Exception as error:  # noqa: BLE001 - any error is a failed task
        return f"{type(error).__name__}: {error}"[:200]
    return None


if __name__ == "__main__":
    print(json.dumps(measure(*map(json.loads, sys.argv[1:]))))

"""What triggerers can wait for, how fast a wave is, and what is left of tasks whose nodes are killed.

The keys of rows are the heads of the page's tables.
"""

from __future__ import annotations

import os
import signal
import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any, NamedTuple

import psutil

from airflow_nbjobs.emulator import Emulator
from bench.triggerers import FIRST_SECONDS
from chaos.cloud import duplicates, is_active, time_of
from chaos.postgres import Postgres
from chaos.site import ENDED
from sizing.nodes import Nodes, Redis

WAVE, TRIAL = "sizing_wave", "sizing_trial"
RECOVER_SECONDS = 600.0
Row = dict[str, Any]


class System(NamedTuple):
    """All that runs."""

    nodes: Nodes
    emulator: Emulator
    redis: Redis
    postgres: Postgres


def wait_together(system: System, jobs: list[Row], few: int) -> Iterator[Row]:
    """Let two triggerers wait for few and for all jobs, then one alone, and yield what each costs."""
    nodes = system.nodes
    nodes.defer("waiting-few", jobs[:few])
    yield _minute(system, few)
    nodes.defer("waiting-rest", jobs[few:], keep=True)
    yield _minute(system, len(jobs))
    nodes.kill("triggerer 1")
    nodes.wait(lambda: len(nodes.owners()) == 1, 180, "the other triggerer to take all tasks")
    yield _minute(system, len(jobs))


def _minute(system: System, count: int) -> Row:
    system.nodes.wait_until_taken()
    time.sleep(FIRST_SECONDS)
    before, begun = _requests(system), time.monotonic()
    time.sleep(60)
    requests = (_requests(system) - before) * 60 / (time.monotonic() - begun)
    sizes = [size for name, size in system.nodes.memory().items() if name.startswith("triggerer")]
    return {
        "waiting tasks": count,
        "tasks of each triggerer": " + ".join(map(str, sorted(system.nodes.owners().values()))),
        "requests a minute": round(requests),
        "MB of each triggerer": " + ".join(f"{size:.0f}" for size in sizes),
    }


def _requests(system: System) -> int:
    return sum(sum(answers.values()) for answers in system.emulator.requests().values())


def run_wave(system: System) -> Row:
    """Run a wave of notebooks, and return how fast they were and how much memory the nodes needed."""
    memory: dict[str, float] = {}
    before, begun = _requests(system), time.monotonic()
    begin(system, WAVE, "wave")
    while not is_over(system, "wave"):
        memory = {name: max(size, memory.get(name, 0.0)) for name, size in system.nodes.memory().items()}
        time.sleep(1)
    seconds, requests, jobs = time.monotonic() - begun, _requests(system) - before, _jobs(system, "wave")
    created = sorted(datetime.fromisoformat(job["createTime"]).timestamp() for job in jobs)
    ends = {job["id"]: end.timestamp() for job in jobs if (end := time_of(job, "SUCCEEDED"))}
    tasks = [task for task in system.nodes.tasks("wave") if task["job"] in ends]
    return {
        "tasks": len(tasks),
        "seconds": round(seconds),
        "created a minute": round(60 * (len(created) - 1) / (created[-1] - created[0])),
        "requests of a task": round(requests / len(tasks), 1),
        "s until Airflow knows: median, 95 of 100": _spread([task["scheduled"] - ends[task["job"]] for task in tasks]),
        "s until the task is over": _spread([task["ended"] - ends[task["job"]] for task in tasks]),
        "memory": ", ".join(f"{name} {size:.0f}" for name, size in memory.items()),
    }


def _spread(values: list[float]) -> str:
    return f"{statistics.median(values):.0f}, {sorted(values)[round(0.95 * (len(values) - 1))]:.0f}"


def begin(system: System, dag_id: str, run_id: str) -> None:
    """Start a run."""
    system.nodes.rest.call("POST", f"/dags/{dag_id}/dagRuns", json={"dag_run_id": run_id, "logical_date": None})


def is_over(system: System, run_id: str) -> bool:
    """Return whether all tasks of a run have ended."""
    states = system.nodes.states(run_id)
    return bool(states) and states.keys() <= ENDED


def _jobs(system: System, run_id: str) -> list[Row]:
    return [job for job in system.emulator.book("sizing") if job["labels"].get("run") == run_id]


def _away(name: str, seconds: float) -> Callable[[System], None]:
    def act(system: System) -> None:
        server: Postgres | Redis | None = getattr(system, name, None)
        server.kill() if server else system.nodes.kill(name)
        time.sleep(seconds)
        server.start() if server else system.nodes.start_component(name)

    return act


def _terminate_worker(system: System) -> None:
    worker = psutil.Process(system.nodes.pid("worker 2"))
    os.kill(worker.pid, signal.SIGTERM)
    psutil.wait_procs([worker], 120)


TRIALS = {
    "kill -9 of a worker and its tasks": _away("worker 1", 5),
    "kill -9 of a triggerer, back after 45 s": _away("triggerer 2", 45),
    "kill -9 of a scheduler": _away("scheduler 1", 5),
    "SIGTERM to a worker's main process": _terminate_worker,
    "Redis killed, back after 5 s": _away("redis", 5),
    "PostgreSQL killed, back after 10 s": _away("postgres", 10),
    "API server killed, back after 45 s": _away("API server", 45),
}


def disturb(system: System) -> Iterator[Row]:
    """Begin a run for each trial, and disturb it as soon as a third of its jobs exists.

    The next trial begins while tasks of the earlier ones still recover.
    """
    for what, act in TRIALS.items():
        begin(system, TRIAL, run_id := f"trial-{list(TRIALS).index(what)}")
        while 3 * len(_jobs(system, run_id)) < sum((states := system.nodes.states(run_id)).values() or [1]):
            time.sleep(0.5)
        yield {"what happens": what, "tasks then": ", ".join(f"{count} {state}" for state, count in states.items())}
        act(system)


def judge(system: System, number: int) -> Row:
    """Wait until the run of a trial is over, and count."""
    run_id, deadline = f"trial-{number}", time.monotonic() + RECOVER_SECONDS
    while not is_over(system, run_id) and time.monotonic() < deadline:
        time.sleep(1)
    jobs, tasks, of_task = _jobs(system, run_id), system.nodes.tasks(run_id), defaultdict(list)
    for job in jobs:
        of_task[job["displayName"].rpartition("-")[2]].append(job)
    good = {job["id"] for job in jobs if job["state"] == "JOB_STATE_SUCCEEDED"}
    return {
        "tasks": len(tasks),
        "jobs": len(jobs),
        "retried": sum(task["tries"] > 1 for task in tasks),
        "twice": sum(map(duplicates, of_task.values())),
        "left": sum(map(is_active, jobs)),
        "lost": sum(task["state"] != "success" or task["job"] not in good for task in tasks),
    }

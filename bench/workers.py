"""What a waiting task costs the workers: CPU seconds of real task processes, and of those that supervise them."""

from __future__ import annotations

import json
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil  # type: ignore[import-untyped]  # it has no types of its own

from airflow_nbjobs.emulator import Emulator
from bench.services import Ours
from chaos.postgres import postgres
from demo.airflow_processes import LocalAirflow
from demo.airflow_rest import Run

MODES = ("sync", "reschedule", "deferrable")
TASKS = 5
JOB_SECONDS = 25.0
DAGS = Path(__file__).resolve().parent / "dags"


def measure() -> dict[str, Any]:
    """Run five tasks in each way, one way after the other, and return the CPU seconds and the requests of one task."""
    with Emulator(runner="simulated", seconds=86400.0, cleanup_seconds=0.0) as emulator, postgres() as address:
        service = Ours(emulator)
        settings = {**service.env, "AIRFLOW__CORE__PARALLELISM": str(TASKS)}
        with tempfile.TemporaryDirectory() as folder, LocalAirflow(Path(folder), DAGS, settings, address) as airflow:
            airflow.wait(lambda: all(airflow.rest.knows(f"bench_{mode}") for mode in MODES), 90, "the DAGs")
            # The first task of all pays for what is compiled and cached.
            _run(airflow, service, "sync", seconds=1.0)
            return {"job_seconds": JOB_SECONDS, "tasks": TASKS} | {
                mode: _run(airflow, service, mode, JOB_SECONDS) for mode in MODES
            }


def _run(airflow: LocalAirflow, service: Ours, mode: str, seconds: float) -> dict[str, float]:
    jobs = service.jobs(TASKS)
    before, asked = _cpu(airflow), service.requests()
    run = airflow.rest.trigger(f"bench_{mode}", {"jobs": [job["kwargs"]["job_name"] for job in jobs]})
    airflow.wait(lambda: _waits(airflow, run), 60, "the tasks to begin")
    over = time.time() + seconds
    service.end({job["id"]: over for job in jobs})
    airflow.wait(lambda: airflow.rest.run_state(run) in {"success", "failed"}, 180, f"the tasks in mode {mode}")
    if (state := airflow.rest.run_state(run)) != "success":
        raise RuntimeError(f"The run in mode {mode} is {state}.")
    time.sleep(6)  # Airflow may keep a process for five seconds after its task
    return {"cpu_seconds": (_cpu(airflow) - before) / TASKS, "looks": (service.requests() - asked) / TASKS}


def _waits(airflow: LocalAirflow, run: Run) -> bool:
    tasks = airflow.rest.tasks(run)
    return len(tasks) == TASKS and all(task["state"] not in {None, "scheduled", "queued"} for task in tasks)


def _cpu(airflow: LocalAirflow) -> float:
    """Return the CPU seconds of all that the scheduler's executor has started, living or not."""
    scheduler = psutil.Process(airflow.pid("scheduler"))
    times = scheduler.cpu_times()
    used = times.children_user + times.children_system
    for child in scheduler.children(recursive=True):
        times = child.cpu_times()
        used += times.user + times.system + times.children_user + times.children_system
    return float(used)


if __name__ == "__main__":
    print(json.dumps(measure(), indent=1))

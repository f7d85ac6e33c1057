"""Measure an Airflow with two schedulers, workers and triggerers, and kill its nodes."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from airflow_nbjobs.emulator import Emulator
from bench.services import Ours
from chaos import report
from chaos.postgres import Postgres
from sizing import page
from sizing.measuring import TRIAL, WAVE, Row, System, begin, disturb, is_over, judge, run_wave, wait_together
from sizing.nodes import NODES, Nodes, Redis

JOB_SECONDS, END_SECONDS = 20.0, 50.0
FEW, MANY = 300, 1000


def main() -> int:
    """Measure, write the page, and return 1 if a job ran twice or was left, or a task was lost or forgotten."""
    parser = argparse.ArgumentParser(prog="make sizing", description=__doc__)
    parser.add_argument("--tasks", type=int, default=100, help="notebooks of the wave; default: %(default)s")
    parser.add_argument("--page", type=Path, help="the page to write")
    options = parser.parse_args()
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    commit, begun, load = report.commit(), time.monotonic(), os.getloadavg()[0]
    tasks = {WAVE: options.tasks, TRIAL: max(8, options.tasks // 5)}
    folder = Path(tempfile.mkdtemp(prefix="sizing-"))
    print(f"All files are in {folder}", flush=True)
    with ExitStack() as stack:
        emulator = stack.enter_context(Emulator(runner="simulated", seconds=JOB_SECONDS))
        emulator.fault({"job_state": "JOB_STATE_RUNNING", "project": "bench", "times": MANY})
        postgres = stack.enter_context(Postgres())
        redis = Redis(folder)
        stack.callback(redis.kill)
        service = Ours(emulator)
        nodes = stack.enter_context(Nodes(folder, postgres.address, redis.url, service.env, tasks))
        found = _measure(System(nodes, emulator, redis, postgres), service)
        found["servers"] = f"PostgreSQL {nodes.server_version()}, Redis {redis.version()}"
    found |= {"commit": commit, "minutes": (time.monotonic() - begun) / 60, "load": (load, os.getloadavg()[0])}
    text = page.page(found)
    print(text)
    if options.page:
        options.page.write_text(text)
    is_good = not found["forgotten"] and not any(row[what] for row in found["trials"] for what in page.BAD)
    if is_good:
        shutil.rmtree(folder)
    return int(not is_good)


def _measure(system: System, service: Ours) -> dict[str, Any]:
    nodes, jobs = system.nodes, service.jobs(MANY)
    for name in NODES:
        nodes.start_component(name)
    waited = list(map(_told, wait_together(system, jobs, FEW)))
    nodes.start_component("triggerer 1")
    nodes.wait(nodes.is_healthy, 120, "Airflow to be healthy")
    nodes.wait(lambda: all(map(nodes.rest.knows, (WAVE, TRIAL))), 120, "the DAGs")
    begin(system, TRIAL, "warm")
    nodes.wait(lambda: is_over(system, "warm"), 300, "the first tasks")
    wave = _told(run_wave(system))
    nodes.start_tending()
    trials = list(map(_told, disturb(system)))
    begun = time.time()
    service.end({job["id"]: begun + END_SECONDS * number / MANY for number, job in enumerate(jobs)})
    trials = [_told({**trial, **judge(system, number)}) for number, trial in enumerate(trials)]
    time.sleep(max(0.0, begun + 2 * END_SECONDS - time.time()))
    forgotten = MANY - sum(len(nodes.told(run)) for run in ("waiting-few", "waiting-rest"))
    return {"waited": waited, "wave": wave, "trials": trials, "forgotten": forgotten, "deaths": nodes.deaths}


def _told(row: Row) -> Row:
    print(json.dumps(row), flush=True)
    return row


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())

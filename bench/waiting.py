"""Many triggers in one process: requests, CPU, memory, blocked loops, and how late an end is noticed."""

from __future__ import annotations

import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import httpx2

from airflow_nbjobs.emulator import Emulator
from bench.waiter import SETTLED_SECONDS

PARENT = "projects/bench/locations/us-central1/notebookExecutionJobs"
BODY = {
    "displayName": "a job of a wave",
    "gcsNotebookSource": {"uri": "gs://notebooks/report.ipynb"},
    "customEnvironmentSpec": {},
    "serviceAccount": "runner@local.iam.gserviceaccount.com",
    "gcsOutputUri": "gs://results/runs",
    "labels": {"nbjobs-v": "1", "nbjobs-deployment": "0" * 32, "nbjobs-request": "1" * 32, "nbjobs-submit": "2" * 32},
}
START_SECONDS = 10.0  # the peer's process takes about so long to start, twice that on a busy machine


@dataclass(frozen=True)
class Case:
    """One measurement: so many triggers with this interval, so many of whose jobs end in so many seconds."""

    side: str
    count: int
    interval: float
    seconds: float = 120.0

    @property
    def ending(self) -> int:
        """How many of the jobs end while they are waited for."""
        return min(self.count, 100 + self.count // 10)

    @property
    def settling(self) -> float:
        """For how many seconds one trigger waits before the others come."""
        return min(self.interval, SETTLED_SECONDS)


def measure(case: Case) -> dict[str, Any]:
    """Let a fresh process wait, and return what it cost."""
    run = {"ours": _ours, "vertex": _vertex}[case.side]
    result = run(case)
    events, ends = result.pop("events"), result.pop("ends")
    late = sorted(events[job] - ends[job] for job in events if result["since"] < ends.get(job, 0.0))
    # An end that nobody had noticed when the time was up, though it was more than two intervals old.
    overdue = [job for job, end in ends.items() if job not in events and end < result["until"] - 2 * case.interval]
    return {
        **{key: result[key] for key in ("cpu_per_minute", "kb_per_waiter", "busy_ms", "blocked_ms", "requests")},
        "requests_per_minute": result["requests"] * 60 / case.seconds,
        "noticed": len(late),
        "overdue": len(overdue),
        "latency_median": statistics.median(late) if late else None,
        "latency_p99": late[int(0.99 * (len(late) - 1))] if late else None,
    }


def _spread(case: Case, begin: float) -> list[float | None]:
    """Say for each job when it ends; those that end are spread evenly, and are anywhere among the others."""
    dice = random.Random(case.count)  # noqa: S311 - the same for both sides
    ends: list[float | None] = [begin + 5 + dice.random() * (case.seconds - 5) for _ in range(case.ending)]
    ends += [None] * (case.count - case.ending)
    if case.count > case.ending:
        dice.shuffle(ends)
    return ends


def _ours(case: Case) -> dict[str, Any]:
    with (
        Emulator(runner="simulated", seconds=86400.0, cleanup_seconds=0.0) as emulator,
        _process(case, {"NBJOBS_EMULATOR_HOST": emulator.url}) as child,
    ):
        begin = time.time() + case.count * 0.01 + case.settling
        jobs = list(_create(emulator, _spread(case, begin)))
        time.sleep(max(0.0, begin - case.settling - time.time()))
        since = _begin(child, jobs)
        emulator.reset_requests()
        time.sleep(case.seconds)
        requests = sum(sum(outcomes.values()) for outcomes in emulator.requests().values())
        result = _result(child)
        ends = {
            entry["id"]: datetime.fromisoformat(entry["history"][-1]["time"]).timestamp()
            for entry in emulator.book()
            if entry["state"] == "JOB_STATE_SUCCEEDED"
        }
    return {**result, "requests": requests, "ends": ends, "since": since}


def _create(emulator: Emulator, ends: list[float | None]) -> Iterator[dict[str, str]]:
    with httpx2.Client(base_url=f"{emulator.url}/v1/", trust_env=False, timeout=60) as http:
        for end in ends:
            if end is not None:  # it is QUEUED for one half of its life and RUNNING for the other
                half = max(0.0, (end - time.time()) / 2)
                emulator.clear_faults()
                emulator.fault({"job_state": "JOB_STATE_SUCCEEDED", "seconds": half})
            operation = http.post(PARENT, json=BODY).raise_for_status().json()
            name = operation["name"].partition("/operations/")[0]
            created = operation["metadata"]["genericMetadata"]["createTime"]
            yield {"name": name, "id": name.rpartition("/")[2], "created_at": created}
    emulator.clear_faults()


def _vertex(case: Case) -> dict[str, Any]:
    begin = time.time() + 2 * START_SECONDS + case.settling
    known = {str(number): end for number, end in enumerate(_spread(case, begin))}
    ends = {job: end for job, end in known.items() if end is not None}
    with tempfile.NamedTemporaryFile("w", suffix=".json") as book:
        json.dump(ends, book)
        book.flush()
        stub = _start("bench.vertex_stub", book.name)
        try:
            with _process(case, {"VERTEX_STUB": f"127.0.0.1:{_line(stub)}"}) as child:
                time.sleep(max(0.0, begin - case.settling - time.time()))
                since = _begin(child, [{"id": job} for job in known])
                _say(stub)
                _line(stub)
                time.sleep(case.seconds)
                _say(stub)
                requests = int(_line(stub))
                result = _result(child)
        finally:
            stub.kill()
            stub.wait()
    over = {job: end for job, end in ends.items() if end < result["until"]}
    return {**result, "requests": requests, "ends": over, "since": since}


@contextmanager
def _process(case: Case, env: dict[str, str]) -> Iterator[subprocess.Popen[str]]:
    # The connection of both, as the environment gives it: without a key, and with nobody to ask for a token.
    connection = '{"conn_type": "google_cloud_platform", "extra": {"is_anonymous": true, "project": "bench"}}'
    env = {**env, "AIRFLOW_CONN_GOOGLE_CLOUD_DEFAULT": connection}
    child = _start("bench.waiter", case.side, str(case.interval), str(case.seconds), env=env)
    try:
        while _line(child) != "ready":
            pass
        yield child
    finally:
        child.kill()
        child.wait()


def _begin(child: subprocess.Popen[str], jobs: list[dict[str, str]]) -> float:
    """Hand over the jobs, and return when all of them are waited for."""
    with tempfile.NamedTemporaryFile("w", suffix=".json") as plan:
        json.dump(jobs, plan)
        plan.flush()
        _say(child, plan.name)
        while _line(child) != "begin":
            pass
    return time.time()


def _start(module: str, *arguments: str, env: dict[str, str] | None = None) -> subprocess.Popen[str]:
    return subprocess.Popen(  # noqa: S603 - our own interpreter
        [sys.executable, "-m", module, *arguments],
        env={**os.environ, **(env or {})},
        text=True,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )


def _line(process: subprocess.Popen[str]) -> str:
    line = process.stdout.readline() if process.stdout else ""
    if not line:
        raise RuntimeError(f"{process.args} ended too early")
    return line.strip()


def _say(process: subprocess.Popen[str], text: str = "") -> None:
    print(text, file=process.stdin, flush=True)


def _result(child: subprocess.Popen[str]) -> dict[str, Any]:
    until = time.time()
    while not (line := _line(child)).startswith("{"):
        pass
    return {**json.loads(line), "until": until}


if __name__ == "__main__":
    side, count, interval, *seconds = sys.argv[1:]
    print(json.dumps(measure(Case(side, int(count), float(interval), *map(float, seconds))), indent=2))

"""`make soak`: run hundreds of jobs at once while one request in twenty fails, and check that nothing is lost."""

from __future__ import annotations

import argparse
import asyncio
import gc
import os
import platform
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import psutil

from airflow_nbjobs.api.job import GcsNotebookSource, NotebookExecutionJob
from airflow_nbjobs.api.pacing import ENDURING
from airflow_nbjobs.exceptions import ApiError, LostAnswerError
from airflow_nbjobs.hooks import NotebookExecutionJobHook
from airflow_nbjobs.run.identity import TaskIdentity, identify
from airflow_nbjobs.run.submit import Request, Submitted, submit
from chaos import front
from chaos.cloud import Cloud, duplicates, is_active
from chaos.report import commit
from chaos.waiting import ONE_IN, REGION, SUCCEEDED, WAYS, as_trigger, look

PROJECT = "soak"
SHARE = 0.05
"""This share of all requests fails."""

WORKERS = 8
RETRIES = 3
MAY_GROW = 1.05
"""Limit of the memory in the last third of the time, as a multiple of the second third's."""

MAY_STAY = 1
"""Limit of new threads: asgiref keeps one."""

KINDS: dict[str, dict[str, Any]] = {
    "503": {"status": 503},
    "500, after the request was carried out": {"status": 500, "phase": "after"},
    "connection cut": {"drop": True},
    "429": {"status": 429, "retry_after": 1},
    "connection cut, after the request was carried out": {"drop": True, "phase": "after"},
    "answer late": {"delay_seconds": 3},
    "408": {"status": 408},
    "504, after the request was carried out": {"status": 504, "phase": "after"},
    "answer cut short": {"truncate": True},
    "a proxy's page": {"body": "<html>Sign in</html>"},
    "502 and a page": {"status": 502, "body": "<html>Bad gateway</html>"},
    "token refused": {"status": 401},
}
"""Faults of the emulator. Names, connections and token requests fail in addition (:mod:`chaos.front`)."""

_EVERY_SECONDS = 1.0

_MEANING = """\
Threads submit as workers do, and each job is read again when it has ended. No process of Airflow takes part. Most
tasks wait as triggers in one event loop, as in one triggerer; one in twenty waits in its worker, and one in twenty as a
sensor that pokes. No job may be lost, run twice or left running, and memory may not grow by more than a twentieth from
the second third of the time to the last. One thread may be left: asgiref keeps it for synchronous calls of Airflow.

The emulator is reached as the service is: by name, over TLS, and with tokens of a service account key. One request in
twenty to it fails, one token request in twenty, and one look-up of a name in twenty; the kinds of failure take turns.
"""


@dataclass
class Soak:
    """The state of a soak, and what was measured."""

    cloud: Cloud
    until: float
    commit: str = field(default_factory=commit)  # at the start: the checkout may change meanwhile
    asked: Counter[str] = field(default_factory=Counter)
    kinds: dict[str, Any] = field(default_factory=dict)
    done: Counter[str] = field(default_factory=Counter)
    retried: int = 0
    lost: list[str] = field(default_factory=list)
    memory: list[float] = field(default_factory=list)

    async def task(self, number: int, workers: ThreadPoolExecutor, waiters: ThreadPoolExecutor) -> None:
        """Run one notebook after the other until the time is over: submit, wait, read the job again."""
        loop = asyncio.get_running_loop()
        way, wait = WAYS.get(number % ONE_IN, ("in the triggerer", None))
        run = 0
        while time.monotonic() < self.until:
            run += 1
            task = _identity(number, run)
            submitted = await loop.run_in_executor(workers, self._submit, task)
            if submitted is None:
                self.lost.append(task.run_id)
                continue
            if wait is None:
                seen: Any = await as_trigger(submitted)
            else:
                seen = await loop.run_in_executor(waiters, wait, submitted.job)
            state = await loop.run_in_executor(workers, look, submitted.job.name or "")
            self.done[way] += 1
            if seen != [SUCCEEDED] or state != SUCCEEDED:
                self.lost.append(f"{task.run_id} {way}: {seen} {state}")

    def _submit(self, task: TaskIdentity) -> Submitted | None:
        """Submit a task's job, with Airflow's retries."""
        for retry in range(RETRIES + 1):
            this = replace(task, try_number=1 + retry)
            hook = NotebookExecutionJobHook()
            try:
                where = hook.parent(REGION, PROJECT)
                request = Request(parent=where, job=_job(this), task=this, kill="cancel")
                return hook.run_flow(REGION, submit(request), ENDURING)
            except (ApiError, LostAnswerError):
                self.retried += 1
            finally:
                hook.close()
        return None

    async def spoil(self) -> None:
        """Request faults: for a constant share of each method's requests, each kind in turn."""
        while True:
            for method, answers in self.cloud.requests().items():
                wanted = int(SHARE * sum(answers.values())) - self.asked[method]
                kinds = self.kinds.setdefault(method, cycle(KINDS.values()))
                for kind in islice(kinds, max(0, wanted)):
                    self.cloud.request_fault({"method": method, **kind})
                    self.asked[method] += 1
            await asyncio.sleep(1)

    async def measure(self) -> None:
        """Note the memory again and again."""
        while True:
            self.memory.append(psutil.Process().memory_info().rss / 2**20)
            await asyncio.sleep(_EVERY_SECONDS)


def _identity(number: int, run: int) -> TaskIdentity:
    return TaskIdentity(
        deployment="soak",
        dag_id="soak",
        run_id=f"{number}/{run}",
        task_id="notebook",
        map_index=-1,
        try_number=1,
        first_try=1,
        run_started=datetime.now(UTC),
        is_certain=True,
    )


def _job(task: TaskIdentity) -> NotebookExecutionJob:
    asked = NotebookExecutionJob(
        gcs_notebook_source=GcsNotebookSource(uri="gs://soak/notebook.ipynb"),
        notebook_runtime_template_resource_name=f"projects/{PROJECT}/locations/{REGION}/notebookRuntimeTemplates/1",
        gcs_output_uri="gs://soak/runs",
        service_account="runner@local.iam.gserviceaccount.com",
    )
    return identify(asked, task, "0" * 32)


def _left() -> tuple[int, int]:
    """Return how many threads and sockets this process has."""
    gc.collect()
    process = psutil.Process()
    return process.num_threads(), len(process.net_connections("all"))


async def _run(soak: Soak, jobs: int) -> None:
    aside = [asyncio.create_task(soak.spoil()), asyncio.create_task(soak.measure())]
    with ThreadPoolExecutor(WORKERS) as workers, ThreadPoolExecutor(jobs) as waiters:
        await asyncio.gather(*(soak.task(number, workers, waiters) for number in range(jobs)))
    for each in aside:
        each.cancel()
    await asyncio.gather(*aside, return_exceptions=True)


def main() -> int:
    """Soak, write the page, and return 1 if something was lost or left."""
    parser = argparse.ArgumentParser(prog="make soak", description=__doc__)
    parser.add_argument("--jobs", type=int, default=500, help="at once; default: %(default)s")
    parser.add_argument("--minutes", type=float, default=10, help="default: %(default)s")
    parser.add_argument("--seconds", type=float, default=60, help="duration of a job; default: %(default)s")
    parser.add_argument("--page", type=Path, help="also write the page to this file")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, front.Names() as names:
        cloud = Cloud(Path(folder), options.seconds, f"{REGION}-aiplatform.googleapis.com")
        cloud.start()
        facade = front.Front(Path(folder), cloud.url, PROJECT)
        os.environ |= facade.env
        try:
            before = _left()
            soak = Soak(cloud, time.monotonic() + 60 * options.minutes)
            asyncio.run(_run(soak, options.jobs))
            after = _left()
            text, is_good = _page(soak, options, (before, after), {**names.met, **facade.stop()})
        finally:
            cloud.stop()
    if options.page:
        options.page.write_text(text)
    print(text)
    return int(not is_good)


def is_flat(memory: tuple[float, float], before: tuple[int, int], after: tuple[int, int]) -> bool:
    """Return whether neither memory nor threads nor sockets have grown.

    :param memory: of the second and of the last third, in MiB.
    :param before: threads and sockets at the start.
    :param after: threads and sockets at the end.
    """
    return memory[1] <= MAY_GROW * memory[0] and after[0] <= before[0] + MAY_STAY and after[1] <= before[1]


def _page(
    soak: Soak, options: argparse.Namespace, kept: tuple[tuple[int, int], tuple[int, int]], on_the_way: dict[str, int]
) -> tuple[str, bool]:
    book = soak.cloud.jobs(PROJECT)
    by_task: dict[str, list[dict[str, Any]]] = {}
    for job in book:
        by_task.setdefault(job["displayName"], []).append(job)
    twice = sum(map(duplicates, by_task.values()))
    active = sum(map(is_active, book))
    third = len(soak.memory) // 3
    early, late = (sorted(part)[len(part) // 2] for part in (soak.memory[third : 2 * third], soak.memory[2 * third :]))
    requests = {method: sum(answers.values()) for method, answers in soak.cloud.requests().items()}
    met = _met(soak.cloud)
    rows = {
        "jobs at once": options.jobs,
        "minutes": f"{options.minutes:g}",
        "notebooks run": ", ".join(f"{count} {way}" for way, count in soak.done.items()),
        "requests": ", ".join(f"{method} {count}" for method, count in requests.items()),
        "faults": sum(sum(each.values()) for each in met.values()) + sum(on_the_way.values()),
        "tries that failed and were retried": soak.retried,
        "lost": len(soak.lost),
        "duplicates": twice,
        "jobs left running": active,
        "memory, median of the second and of the last third": f"{early:.0f} MiB, {late:.0f} MiB",
        "threads before and after": f"{kept[0][0]}, {kept[1][0]}",
        "sockets before and after": f"{kept[0][1]}, {kept[1][1]}",
    }
    command = f"python -m chaos.soak --jobs {options.jobs} --minutes {options.minutes:g} --seconds {options.seconds:g}"
    machine = f"{platform.system()}, {os.cpu_count()} cores"
    lines = [
        "# Hundreds of jobs, one request in twenty fails",
        "",
        f"`{command}`, {datetime.now(UTC):%Y-%m-%d}, commit `{soak.commit}`; {machine}.",
        "",
        _MEANING,
        "| | |",
        "|---|---|",
        *(f"| {name} | {value} |" for name, value in rows.items()),
        *(f"- lost: {text}" for text in soak.lost[:20]),
        "",
        f"| instead of an answer | {' | '.join(requests)} |",
        f"|---|{'---|' * len(requests)}",
        *(f"| {kind} | {' | '.join(str(each[method]) for method in requests)} |" for kind, each in met.items()),
        "",
        "| names, connections and tokens | |",
        "|---|---|",
        *(f"| {kind} | {count} |" for kind, count in sorted(on_the_way.items())),
    ]
    is_whole = all(each.total() for each in met.values()) and on_the_way.keys() == set(front.KINDS)
    is_good = not (soak.lost or twice or active) and is_flat((early, late), *kept)
    return "\n".join(lines) + "\n", is_good and is_whole


def _met(cloud: Cloud) -> dict[str, Counter[str]]:
    """Count the faults that happened, by kind and method."""
    counts: dict[str, Counter[str]] = {kind: Counter() for kind in KINDS}
    kinds = {frozenset(fault.items()): kind for kind, fault in KINDS.items()}
    for fault, _, met in cloud.met():
        method = fault.pop("method")
        counts[kinds[frozenset(fault.items())]][method] += met
    return counts


if __name__ == "__main__":
    sys.exit(main())

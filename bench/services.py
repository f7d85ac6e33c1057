"""The two services whose jobs are waited for: our emulator, and the stand-in that the Google provider talks to."""

from __future__ import annotations

import json
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import httpx2

from bench.child import Child

if TYPE_CHECKING:
    from airflow_nbjobs.emulator import Emulator

LAST, LATER = 10, 11.0
"""
The last jobs of a crowd, and so many seconds are between the others and them. The emulator takes all of a crowd within
seconds, which no quota lets anybody do; of jobs that were made one after the other a few have changed lately, not all.
"""

PARENT = "projects/bench/locations/us-central1/notebookExecutionJobs"
BODY = {
    "displayName": "a job of a wave",
    "gcsNotebookSource": {"uri": "gs://notebooks/report.ipynb"},
    "customEnvironmentSpec": {},
    "serviceAccount": "runner@local.iam.gserviceaccount.com",
    "gcsOutputUri": "gs://results/runs",
    "labels": {"nbjobs-v": "1", "nbjobs-deployment": "0" * 32, "nbjobs-request": "1" * 32, "nbjobs-submit": "2" * 32},
}
# The connection of both: without a key, and with nobody to ask for a token.
_CONNECTION = '{"conn_type": "google_cloud_platform", "extra": {"is_anonymous": true, "project": "bench"}}'
_ENV: Mapping[str, str] = {"AIRFLOW_CONN_GOOGLE_CLOUD_DEFAULT": _CONNECTION, "GOOGLE_CLOUD_PROJECT": "bench"}


class Service(Protocol):
    """Jobs, who ends them, and how much was asked.

    :ivar env: what points a process at it.
    :ivar classpath: of the trigger that waits for its jobs.
    """

    env: Mapping[str, str]
    classpath: str

    def jobs(self, count: int) -> list[dict[str, Any]]:
        """Return so many jobs that go on: ``{"id", "classpath", "kwargs"}``, the last two being the trigger's."""

    def end(self, times: Mapping[str, float]) -> None:
        """End jobs at these times, seconds since 1970."""

    def ended(self) -> dict[str, float]:
        """Return when which jobs ended."""

    def going(self) -> list[str]:
        """Return the ids of those that go on."""

    def requests(self) -> int:
        """Return how many requests there were since the beginning."""


class Ours:
    """The emulator, whose jobs do nothing; it can be used for one measurement after the other."""

    classpath = "airflow_nbjobs.triggers.NotebookExecutionJobTrigger"

    def __init__(self, emulator: Emulator) -> None:
        self.env: Mapping[str, str] = {**_ENV, **emulator.env}
        self._emulator = emulator
        self._going: list[dict[str, Any]] = []
        self._ending: threading.Thread | None = None

    def jobs(self, count: int) -> list[dict[str, Any]]:
        """Create what is missing."""
        over = self.ended()
        self._going = [job for job in self._going if job["id"] not in over]
        with httpx2.Client(base_url=f"{self._emulator.url}/v1/", trust_env=False, timeout=60) as http:
            first = len(self._going)
            for number in range(first, count):
                if first < number == count - LAST:
                    time.sleep(LATER)
                self._going.append(_created(http.post(PARENT, json=BODY).raise_for_status().json()))
        return self._going[:count]

    def end(self, times: Mapping[str, float]) -> None:
        """End them from a thread; it is over before the service is."""
        self._ending = threading.Thread(target=self._end, args=(sorted(times.items(), key=lambda item: item[1]),))
        self._ending.start()

    def _end(self, times: Sequence[tuple[str, float]]) -> None:
        for job, moment in times:
            time.sleep(max(0.0, moment - time.time()))
            self._emulator.play(job, "JOB_STATE_SUCCEEDED")

    def ended(self) -> dict[str, float]:
        """Read it in the emulator's book."""
        if self._ending is not None:
            self._ending.join()
        return {
            entry["id"]: datetime.fromisoformat(entry["history"][-1]["time"]).timestamp()
            for entry in self._emulator.book()
            if entry["state"] == "JOB_STATE_SUCCEEDED"
        }

    def going(self) -> list[str]:
        """Read them there."""
        return [entry["id"] for entry in self._emulator.book() if entry["state"] != "JOB_STATE_SUCCEEDED"]

    def requests(self) -> int:
        """Count what was asked of jobs."""
        counts = self._emulator.requests()
        return sum(sum(outcomes.values()) for method, outcomes in counts.items() if method != "create")


def _created(operation: dict[str, Any]) -> dict[str, Any]:
    name = operation["name"].partition("/operations/")[0]
    created = operation["metadata"]["genericMetadata"]["createTime"]
    return {
        "id": name.rpartition("/")[2],
        "classpath": Ours.classpath,
        "kwargs": {"job_name": name, "created_at": created},
    }


class Vertex:
    """The stand-in, a process of its own; a job is there as soon as somebody asks for it."""

    classpath = "bench.vertex_peer.Trigger"

    def __init__(self, process: Child) -> None:
        self.env: Mapping[str, str] = {**_ENV, "BENCH_VERTEX": f"127.0.0.1:{process.hear('port')}"}
        self._process = process
        self._named: list[str] = []
        self._ends: dict[str, float] = {}

    def jobs(self, count: int) -> list[dict[str, Any]]:
        """Name some that were not named before."""
        known = {"conn_id": "google_cloud_default", "project_id": "bench", "location": "us-central1"}
        self._named = names = [f"{time.time_ns()}{number}" for number in range(count)]
        return [{"id": name, "classpath": self.classpath, "kwargs": known | {"job_id": name}} for name in names]

    def end(self, times: Mapping[str, float]) -> None:
        """Tell it when."""
        self._ends = dict(times)
        self._process.say(json.dumps(self._ends))
        self._process.hear("count")

    def ended(self) -> dict[str, float]:
        """Return those whose time has come."""
        return {job: moment for job, moment in self._ends.items() if moment <= time.time()}

    def going(self) -> list[str]:
        """Return those that were named last; nobody makes others."""
        return [job for job in self._named if job not in self.ended()]

    def requests(self) -> int:
        """Ask it."""
        self._process.say()
        return int(self._process.hear("count"))


@contextmanager
def ours() -> Iterator[Service]:
    """Start the emulator."""
    from airflow_nbjobs.emulator import Emulator  # a process that measures the peer has no use for it

    with Emulator(runner="simulated", seconds=86400.0, cleanup_seconds=0.0) as emulator:
        yield Ours(emulator)


@contextmanager
def vertex() -> Iterator[Service]:
    """Start the stand-in."""
    with Child("bench.vertex_service") as process:
        yield Vertex(process)


class Nothing:
    """Nobody is asked; jobs end as often as those of the others. What is left is what any trigger costs Airflow.

    :param file: tells the triggers when; written when that is known.
    :param step: seconds; jobs end at multiples of it, those of one step together.
    """

    classpath = "bench.idle_trigger.Trigger"

    def __init__(self, file: Path, step: float) -> None:
        self.env: Mapping[str, str] = _ENV
        self._file = file
        self._step = step
        self._ends: dict[str, float] = {}

    def jobs(self, count: int) -> list[dict[str, Any]]:
        """Name some."""
        return [
            {"id": str(number), "classpath": self.classpath, "kwargs": {"job_id": str(number), "ends": str(self._file)}}
            for number in range(count)
        ]

    def end(self, times: Mapping[str, float]) -> None:
        """Tell the triggers when."""
        self._ends = {job: moment + -moment % self._step for job, moment in times.items()}
        whole = self._file.with_suffix(".new")
        whole.write_text(json.dumps(self._ends))
        whole.rename(self._file)

    def ended(self) -> dict[str, float]:
        """Return those whose time has come."""
        return {job: moment for job, moment in self._ends.items() if moment <= time.time()}

    def going(self) -> list[str]:
        """Name nobody: no task makes a job here."""
        return []

    def requests(self) -> int:
        """Count nothing."""
        return 0


@contextmanager
def nothing(step: float = 0.001) -> Iterator[Service]:
    """Start nothing."""
    with tempfile.TemporaryDirectory() as folder:
        yield Nothing(Path(folder) / "ends.json", step)


# Ours tells of all that is over in a round at once, which costs Airflow less than one after the other.
SERVICES = {"ours": ours, "vertex": vertex, "nothing": nothing, "nothing in rounds": lambda: nothing(7.5)}

"""The two services whose jobs are waited for: our emulator, and the stand-in for the Google provider."""

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

import httpx

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
# The connection of both: without a key and without tokens.
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
        """Return active jobs: ``{"id", "classpath", "kwargs"}``; the last two are of the trigger."""

    def end(self, times: Mapping[str, float]) -> None:
        """End jobs at these times, seconds since 1970."""

    def ended(self) -> dict[str, float]:
        """Return when each job ended, by id."""

    def going(self) -> list[str]:
        """Return the ids of the active jobs."""

    def requests(self) -> int:
        """Return the number of requests since the start."""


class Ours:
    """The emulator, with simulated jobs; it serves several measurements."""

    classpath = "airflow_nbjobs.triggers.NotebookExecutionJobTrigger"

    def __init__(self, emulator: Emulator) -> None:
        self.env: Mapping[str, str] = {**_ENV, **emulator.env}
        self._emulator = emulator
        self._going: list[dict[str, Any]] = []
        self._ending: threading.Thread | None = None

    def jobs(self, count: int) -> list[dict[str, Any]]:
        """Create the jobs that are missing."""
        over = self.ended()
        self._going = [job for job in self._going if job["id"] not in over]
        with httpx.Client(base_url=f"{self._emulator.url}/v1/", trust_env=False, timeout=60) as http:
            first = len(self._going)
            for number in range(first, count):
                if first < number == count - LAST:
                    time.sleep(LATER)
                self._going.append(_created(http.post(PARENT, json=BODY).raise_for_status().json()))
        return self._going[:count]

    def end(self, times: Mapping[str, float]) -> None:
        """End the jobs from a thread, which ends before the service."""
        self._ending = threading.Thread(target=self._end, args=(sorted(times.items(), key=lambda item: item[1]),))
        self._ending.start()

    def _end(self, times: Sequence[tuple[str, float]]) -> None:
        for job, moment in times:
            time.sleep(max(0.0, moment - time.time()))
            self._emulator.play(job, "JOB_STATE_SUCCEEDED")

    def ended(self) -> dict[str, float]:
        """Read the ends from the emulator."""
        if self._ending is not None:
            self._ending.join()
        return {
            entry["id"]: datetime.fromisoformat(entry["history"][-1]["time"]).timestamp()
            for entry in self._emulator.book()
            if entry["state"] == "JOB_STATE_SUCCEEDED"
        }

    def going(self) -> list[str]:
        """Read the active jobs from the emulator."""
        return [entry["id"] for entry in self._emulator.book() if entry["state"] != "JOB_STATE_SUCCEEDED"]

    def requests(self) -> int:
        """Count the requests about jobs."""
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
    """The stand-in, in another process; a job exists as soon as it is requested."""

    classpath = "bench.vertex_peer.Trigger"

    def __init__(self, process: Child) -> None:
        self.env: Mapping[str, str] = {**_ENV, "BENCH_VERTEX": f"127.0.0.1:{process.hear('port')}"}
        self._process = process
        self._named: list[str] = []
        self._ends: dict[str, float] = {}

    def jobs(self, count: int) -> list[dict[str, Any]]:
        """Return jobs with new ids."""
        known = {"conn_id": "google_cloud_default", "project_id": "bench", "location": "us-central1"}
        self._named = names = [f"{time.time_ns()}{number}" for number in range(count)]
        return [{"id": name, "classpath": self.classpath, "kwargs": known | {"job_id": name}} for name in names]

    def end(self, times: Mapping[str, float]) -> None:
        """Send the times to the stand-in."""
        self._ends = dict(times)
        self._process.say(json.dumps(self._ends))
        self._process.hear("count")

    def ended(self) -> dict[str, float]:
        """Return the jobs whose time has come."""
        return {job: moment for job, moment in self._ends.items() if moment <= time.time()}

    def going(self) -> list[str]:
        """Return the jobs that were returned last; there are no others."""
        return [job for job in self._named if job not in self.ended()]

    def requests(self) -> int:
        """Read the count from the stand-in."""
        self._process.say()
        return int(self._process.hear("count"))


@contextmanager
def ours() -> Iterator[Service]:
    """Start the emulator."""
    from airflow_nbjobs.emulator import Emulator  # not needed in a process that measures the peer

    with Emulator(runner="simulated", seconds=86400.0, cleanup_seconds=0.0) as emulator:
        yield Ours(emulator)


@contextmanager
def vertex() -> Iterator[Service]:
    """Start the stand-in."""
    with Child("bench.vertex_service") as process:
        yield Vertex(process)


class Nothing:
    """No service: triggers end as often as the others, without requests. This is Airflow's own cost of a trigger.

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
        """Return jobs with new ids."""
        return [
            {"id": str(number), "classpath": self.classpath, "kwargs": {"job_id": str(number), "ends": str(self._file)}}
            for number in range(count)
        ]

    def end(self, times: Mapping[str, float]) -> None:
        """Write the times for the triggers."""
        self._ends = {job: moment + -moment % self._step for job, moment in times.items()}
        whole = self._file.with_suffix(".new")
        whole.write_text(json.dumps(self._ends))
        whole.rename(self._file)

    def ended(self) -> dict[str, float]:
        """Return the jobs whose time has come."""
        return {job: moment for job, moment in self._ends.items() if moment <= time.time()}

    def going(self) -> list[str]:
        """Return no ids: no task creates a job here."""
        return []

    def requests(self) -> int:
        """Count nothing."""
        return 0


@contextmanager
def nothing(step: float = 0.001) -> Iterator[Service]:
    """Start nothing."""
    with tempfile.TemporaryDirectory() as folder:
        yield Nothing(Path(folder) / "ends.json", step)


# Ours reports all jobs that have ended at once, in rounds. That costs Airflow less than one after the other.
SERVICES = {"ours": ours, "vertex": vertex, "nothing": nothing, "nothing in rounds": lambda: nothing(7.5)}

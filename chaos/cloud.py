"""The emulator as a process that can be killed, and the jobs of one trial."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx

from demo.watchdog import shared_watchdog, start_watched

START_SECONDS = 120
LOOK_SECONDS = 0.1
FAILURES = ("FAILED", "EXPIRED", "PARTIALLY_SUCCEEDED")
"""States in which a job ends by itself, and after which another one may follow."""

ENDED = {f"JOB_STATE_{state}" for state in ("SUCCEEDED", "CANCELLED", *FAILURES)}

Entry = dict[str, Any]
"""One job as the emulator records it."""


class Cloud:
    """`nbjobs emulator` as a process of its own, with jobs that only take time.

    :param folder: its data; it survives a kill.
    :param seconds: how long a job runs.
    :param name: another host name for it.
    """

    def __init__(self, folder: Path, seconds: float, name: str = "localhost") -> None:
        self._folder = folder
        self._seconds = seconds
        self._name = name
        self._ports = _free_ports(2)
        self.url = f"http://127.0.0.1:{self._ports[0]}"
        self.env = {"NBJOBS_EMULATOR_HOST": self.url, "STORAGE_EMULATOR_HOST": f"http://127.0.0.1:{self._ports[1]}"}
        self._http = httpx.Client(base_url=f"{self.url}/_emulator", timeout=30, trust_env=False)
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the emulator and return when it answers.

        :raises TimeoutError: if it does not within two minutes.
        """
        command = [
            sys.executable,
            "-c",
            "import sys; from airflow_nbjobs.cli import main; sys.exit(main())",
            "emulator",
        ]
        options = {
            "--port": self._ports[0],
            "--storage-port": self._ports[1],
            "--data": self._folder / "emulator",
            "--runner": "simulated",
            "--seconds": self._seconds,
            "--allow-host": self._name,
            "--cleanup-seconds": 1,
        }
        words = [str(word) for option in options.items() for word in option]
        deadline = time.monotonic() + START_SECONDS
        with (self._folder / "emulator.log").open("ab") as log:
            while time.monotonic() < deadline:
                # The ports of a killed process may take a moment to be free.
                if self._process is None or self._process.poll() is not None:
                    self._process = start_watched([*command, *words], stdout=log, stderr=log)
                with contextlib.suppress(httpx.TransportError):
                    self._http.get("/health", timeout=2).raise_for_status()
                    return
                time.sleep(LOOK_SECONDS)
        raise TimeoutError(f"The emulator does not answer; its log is {self._folder / 'emulator.log'}")

    def kill(self) -> None:
        """End the emulator at once (SIGKILL)."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            shared_watchdog().forget(self._process.pid)
            self._process = None

    def stop(self) -> None:
        """End the emulator and close the connections to it."""
        self.kill()
        self._http.close()

    def request_fault(self, fault: dict[str, Any]) -> None:
        """Request a fault."""
        self._http.post("/faults", json=fault).raise_for_status()

    def met(self, project: str | None = None) -> list[tuple[dict[str, Any], int, int]]:
        """Return the faults of a project, or all: the fault, how often it was requested, how often it happened."""
        faults = self._http.get("/faults").raise_for_status().json()["faults"]
        return [
            (each["fault"], each["asked"], each["met"])
            for each in faults
            if project in {None, each["fault"].get("project")}
        ]

    def requests(self) -> dict[str, dict[str, int]]:
        """Count the requests by method and by answer."""
        counts: dict[str, dict[str, int]] = self._http.get("/requests").raise_for_status().json()
        return counts

    def jobs(self, project: str) -> list[Entry]:
        """Return a project's jobs, the oldest first; deleted ones too."""
        entries: list[Entry] = self._http.get("/jobs", params={"project": project}).raise_for_status().json()["jobs"]
        return entries

    def create(self, project: str, name: str) -> None:
        """Create a job that no task runs."""
        body = {
            "displayName": name,
            "gcsNotebookSource": {"uri": "gs://chaos/notebook.ipynb"},
            "customEnvironmentSpec": {},
            "serviceAccount": "runner@local.iam.gserviceaccount.com",
            "gcsOutputUri": "gs://chaos/runs",
        }
        parent = f"{self.url}/v1/projects/{project}/locations/us-central1"
        self._http.post(f"{parent}/notebookExecutionJobs", json=body).raise_for_status()

    def set_state(self, job: Entry, state: str) -> None:
        """Bring a job to a state."""
        self._http.post(f"/jobs/{job['id']}", json={"state": f"JOB_STATE_{state}"}).raise_for_status()


def is_active(job: Entry) -> bool:
    """Return whether the job still costs money."""
    return job["state"] not in ENDED


def time_of(job: Entry, *states: str) -> datetime | None:
    """Return when a job first had one of the states; ``None`` if never."""
    wanted = {f"JOB_STATE_{state}" for state in states}
    return next((datetime.fromisoformat(step["time"]) for step in job["history"] if step["state"] in wanted), None)


def duplicates(jobs: list[Entry]) -> int:
    """Count jobs that ran a cell although an earlier one did, and had neither failed nor been ended before."""
    ran = [job for job in jobs if time_of(job, "RUNNING")]
    return sum(
        any(not _was_given_up(earlier, datetime.fromisoformat(job["createTime"])) for earlier in ran[:place])
        for place, job in enumerate(ran)
    )


def is_run_again(jobs: list[Entry]) -> bool:
    """Return whether a job was created although the one before had not failed."""
    return any(
        not _had(earlier, FAILURES, datetime.fromisoformat(later["createTime"])) for earlier, later in pairwise(jobs)
    )


def _was_given_up(job: Entry, when: datetime) -> bool:
    """Return whether a job had failed or was being ended at that time."""
    return _had(job, (*FAILURES, "CANCELLING", "CANCELLED"), when)


def _had(job: Entry, states: tuple[str, ...], when: datetime) -> bool:
    first = time_of(job, *states)
    return first is not None and first <= when


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [int(probe.getsockname()[1]) for probe in probes]

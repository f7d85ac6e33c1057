"""The emulator as a process that can be killed, and what its book says of one trial."""

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

import httpx2

START_SECONDS = 120
LOOK_SECONDS = 0.1
FAILURES = ("FAILED", "EXPIRED", "PARTIALLY_SUCCEEDED")
"""States to which a job comes though nobody ended it, and for which another one may follow."""

ENDED = {f"JOB_STATE_{state}" for state in ("SUCCEEDED", "CANCELLED", *FAILURES)}

Entry = dict[str, Any]
"""One job in the emulator's book."""


class Cloud:
    """`nbjobs emulator` as a process of its own, with jobs that take a while and execute nothing.

    :param folder: where it keeps its book, over its own death too.
    :param seconds: how long a job runs.
    :param name: a host name by which it is reached too.
    """

    def __init__(self, folder: Path, seconds: float, name: str = "localhost") -> None:
        self._folder = folder
        self._seconds = seconds
        self._name = name
        self._ports = _free_ports(2)
        self.url = f"http://127.0.0.1:{self._ports[0]}"
        self.env = {"NBJOBS_EMULATOR_HOST": self.url, "STORAGE_EMULATOR_HOST": f"http://127.0.0.1:{self._ports[1]}"}
        self._http = httpx2.Client(base_url=f"{self.url}/_emulator", timeout=30, trust_env=False)
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the emulator and return when it answers.

        :raises TimeoutError: when it does not within two minutes.
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
                # The ports of one that was killed may take a moment to be free.
                if self._process is None or self._process.poll() is not None:
                    self._process = subprocess.Popen([*command, *words], stdout=log, stderr=log, start_new_session=True)  # noqa: S603 - our own interpreter
                with contextlib.suppress(httpx2.TransportError):
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
            self._process = None

    def stop(self) -> None:
        """End the emulator and close the connections to it."""
        self.kill()
        self._http.close()

    def ask_for(self, fault: dict[str, Any]) -> None:
        """Ask for a fault."""
        self._http.post("/faults", json=fault).raise_for_status()

    def met(self, project: str | None = None) -> list[tuple[dict[str, Any], int, int]]:
        """Return each fault, of a project or all, how often it was asked for and how often it was met."""
        told = self._http.get("/faults").raise_for_status().json()["faults"]
        return [
            (each["fault"], each["asked"], each["met"])
            for each in told
            if project in {None, each["fault"].get("project")}
        ]

    def requests(self) -> dict[str, dict[str, int]]:
        """Count the requests by method and by what they were answered with."""
        counts: dict[str, dict[str, int]] = self._http.get("/requests").raise_for_status().json()
        return counts

    def jobs(self, project: str) -> list[Entry]:
        """Return a project's jobs, the oldest first; deleted ones too."""
        entries: list[Entry] = self._http.get("/jobs", params={"project": project}).raise_for_status().json()["jobs"]
        return entries

    def lead(self, job: Entry, state: str) -> None:
        """Lead a job to a state."""
        self._http.post(f"/jobs/{job['id']}", json={"state": f"JOB_STATE_{state}"}).raise_for_status()


def is_active(job: Entry) -> bool:
    """Tell whether the job still costs money."""
    return job["state"] not in ENDED


def time_of(job: Entry, *states: str) -> datetime | None:
    """Return when a job first came to one of the states."""
    wanted = {f"JOB_STATE_{state}" for state in states}
    return next((datetime.fromisoformat(step["time"]) for step in job["history"] if step["state"] in wanted), None)


def duplicates(jobs: list[Entry]) -> int:
    """Count jobs that ran a cell though an earlier one did, and had neither ended in vain nor been ended before."""
    ran = [job for job in jobs if time_of(job, "RUNNING")]
    return sum(
        any(not _was_in_vain(earlier, datetime.fromisoformat(job["createTime"])) for earlier in ran[:place])
        for place, job in enumerate(ran)
    )


def is_run_again(jobs: list[Entry]) -> bool:
    """Tell whether a job was made though the one before had not failed: it was ended in health, or went on."""
    return any(
        not _had_come_to(earlier, FAILURES, datetime.fromisoformat(later["createTime"]))
        for earlier, later in pairwise(jobs)
    )


def _was_in_vain(job: Entry, when: datetime) -> bool:
    """Tell whether a job had failed or was being ended at that time."""
    return _had_come_to(job, (*FAILURES, "CANCELLING", "CANCELLED"), when)


def _had_come_to(job: Entry, states: tuple[str, ...], when: datetime) -> bool:
    first = time_of(job, *states)
    return first is not None and first <= when


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [int(probe.getsockname()[1]) for probe in probes]

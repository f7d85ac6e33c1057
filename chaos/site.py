"""One Airflow and one emulator, and how they and one task are killed."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Self, TypeVar

import httpx

from chaos.cloud import Cloud
from demo.airflow_processes import COMPONENTS, LocalAirflow
from demo.airflow_rest import Run

TASK = "notebook"
ENDED = {"success", "failed", "upstream_failed", "skipped", "removed"}
JOB_SECONDS = 20.0
WARM_SECONDS = 180
LOOK_SECONDS = 1.0
OUTAGE_SECONDS = 2.0

# Airflow waits minutes before it takes a process for dead. Here it waits seconds; nothing else is changed.
_SETTINGS = {
    "CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
    "CORE__PARALLELISM": "16",
    "DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "600",
    "NBJOBS__DEPLOYMENT": "chaos",
    "SCHEDULER__JOB_HEARTBEAT_SEC": "2",
    "SCHEDULER__ORPHANED_TASKS_CHECK_INTERVAL": "10",
    "SCHEDULER__SCHEDULER_HEALTH_CHECK_THRESHOLD": "45",
    "SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "20",
    "SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "3",
    "SCHEDULER__TRIGGER_TIMEOUT_CHECK_INTERVAL": "3",
    "TRIGGERER__JOB_HEARTBEAT_SEC": "2",
    "TRIGGERER__TRIGGERER_HEALTH_CHECK_THRESHOLD": "12",
    "WORKERS__EXECUTION_API_RETRIES": "8",
    "WORKERS__MIN_HEARTBEAT_INTERVAL": "3",
}

# Each task is a fork of the scheduler. What the scheduler has loaded, a task need not load: half of its work.
LOADED_ONCE = """
import airflow.providers.google.common.hooks.base_google
import airflow_nbjobs.hooks
import airflow_nbjobs.run.build
import airflow_nbjobs.triggers
"""

T = TypeVar("T")


class SiteClosedError(RuntimeError):
    """The trial ends early, since the site is being stopped."""


class Airflow(LocalAirflow):
    """The demo's Airflow with a second triggerer."""

    def start_second_triggerer(self) -> None:
        """Start another triggerer beside the first."""
        self._spawn("second triggerer", COMPONENTS["triggerer"])


class Site:
    """A running Airflow and a running emulator.

    :param folder: an empty folder for their files.
    :param database: address of Airflow's database; SQLite unless given.
    """

    def __init__(self, folder: Path, database: str | None = None) -> None:
        self.folder = folder
        self.signs = folder / "signs"
        self.signs.mkdir(parents=True)
        self.cloud = Cloud(folder, JOB_SECONDS)
        settings = {f"AIRFLOW__{name}": value for name, value in _SETTINGS.items()}
        environment = {**settings, **self.cloud.env, "CHAOS_FOLDER": str(self.signs)}
        dags = Path(__file__).resolve().parent / "dags"
        config = folder / "airflow" / "config"
        config.mkdir(parents=True)
        (config / "airflow_local_settings.py").write_text(LOADED_ONCE)
        self.airflow = Airflow(folder / "airflow", dags, environment, database)
        self._is_over = threading.Event()

    def __enter__(self) -> Self:
        """Start both."""
        try:
            self.cloud.start()
            self.airflow.start()
            self.airflow.wait(lambda: self.airflow.rest.knows("chaos_sync_own_once"), 180, "the DAGs to be parsed")
            self.airflow.start_tending()
            # The first look-up of a connection starts a whole API in the triggerer, which does nothing else meanwhile.
            run = self.begin("chaos_deferrable_service_retried", "chaos-0000", {})
            self.until(lambda: self.state(run) in ENDED, WARM_SECONDS)
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """Stop both."""
        self.stop()

    def stop(self) -> None:
        """End every process."""
        self._is_over.set()
        self.airflow.stop()
        self.cloud.stop()

    def begin(self, dag_id: str, project: str, conf: Mapping[str, Any]) -> Run:
        """Start a run of a DAG for one project."""
        body = {"dag_run_id": project, "logical_date": None, "conf": {"project": project, **conf}}
        try:
            self.patiently(lambda: self.airflow.rest.call("POST", f"/dags/{dag_id}/dagRuns", json=body))
        except httpx.HTTPStatusError as error:
            if error.response.status_code != httpx.codes.CONFLICT:  # an answer was lost, and the run exists
                raise
        return Run(dag_id, project)

    def task(self, run: Run) -> dict[str, Any]:
        """Return the run's task instance; empty while the API server does not answer."""
        with contextlib.suppress(httpx.HTTPError):
            return self.airflow.rest.task(run, TASK)
        return {}

    def state(self, run: Run) -> str:
        """Return the state of the run's task; empty while it is not known."""
        return self.task(run).get("state") or ""

    def result(self, run: Run) -> dict[str, Any]:
        """Return the task's XCom; empty if it stored none."""
        try:
            return dict(self.patiently(lambda: self.airflow.rest.xcom(run, TASK)))
        except httpx.HTTPStatusError:
            return {}

    def patiently(self, ask: Callable[[], T], seconds: float = 180) -> T:
        """Repeat a request while the API server is away or its database is locked."""
        deadline = time.monotonic() + seconds
        while True:
            try:
                return ask()
            except httpx.HTTPError as error:
                answer = getattr(error, "response", None)
                if time.monotonic() > deadline or (answer is not None and not answer.is_server_error):
                    raise
            time.sleep(LOOK_SECONDS)

    def until(self, look: Callable[[], T], seconds: float) -> T:
        """Repeat a look until its answer is true or the time is over; return the last answer.

        :raises SiteClosedError: if the site is stopped meanwhile.
        """
        deadline = time.monotonic() + seconds
        while not (answer := look()) and time.monotonic() < deadline:
            if self._is_over.wait(LOOK_SECONDS):
                raise SiteClosedError
        return answer

    @contextlib.contextmanager
    def threads(self, count: int) -> Iterator[ThreadPoolExecutor]:
        """Return a thread pool; after an exception in the block, its threads are not waited for."""
        pool = ThreadPoolExecutor(count)
        try:
            yield pool
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
        pool.shutdown()

    def kill(self, run: Run, what: str) -> bool:
        """Kill the processes of a task; return whether they still existed."""
        task, supervisor = (int(word) for word in (self.signs / run.run_id / "who").read_text().split())
        victims = {"task": [task], "supervisor": [supervisor], "worker": [supervisor, task]}[what]
        if not all(_is_airflows(pid) for pid in victims):
            return False
        for pid in victims:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return True

    def has_stopped(self, run: Run) -> bool:
        """Return whether the run's task has stopped where it was asked to."""
        return (self.signs / run.run_id / "stopped").exists()

    def let_go(self, run: Run) -> None:
        """Let a stopped task go on."""
        if (folder := self.signs / run.run_id).exists():
            (folder / "go").touch()

    def break_down(self, component: str) -> None:
        """Kill a component that all tasks depend on, and start it again after some seconds."""
        if component == "cloud":
            self.cloud.kill()
            time.sleep(OUTAGE_SECONDS)
            self.cloud.start()
            return
        self.airflow.kill(component)
        time.sleep(OUTAGE_SECONDS)
        self.airflow.start_component(component)


def _is_airflows(pid: int) -> bool:
    """Return whether a process exists and belongs to a task: its id may have been reused."""
    try:
        return b"airflow" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False

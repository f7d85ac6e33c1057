"""Airflow as in production, on one machine: separate processes, which can be killed and started again."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

from demo.airflow_rest import AirflowRest
from demo.watchdog import Watchdog

COMPONENTS = {
    "api-server": ["api-server"],
    # Airflow's log servers listen on all interfaces, without a setting for it. On one machine they are not needed: the
    # API server reads the log files itself.
    "scheduler": ["scheduler", "--skip-serve-logs"],
    "dag-processor": ["dag-processor"],
    "triggerer": ["triggerer", "--skip-serve-logs"],
}
"""The processes of an Airflow deployment, and the arguments of the `airflow` command that start them."""

START_SECONDS = 120
STOP_SECONDS = 3  # an idle triggerer would take ten
LOOK_SECONDS = 0.25
TEND_SECONDS = 1.0

T = TypeVar("T")


class ComponentDiedError(RuntimeError):
    """A process of Airflow ended by itself; the message contains the end of its log."""


class LocalAirflow:
    """API server, scheduler with LocalExecutor, DAG processor and triggerer, on the loopback interface.

    Use it as a context manager; :attr:`rest` talks to it.

    :ivar deaths: components that ended by themselves and were started again after :meth:`start_tending`.
    :param home: an empty or missing folder for database, settings and logs.
    :param dags_folder: the folder of the DAGs.
    :param env: environment variables for all processes, such as settings (`AIRFLOW__…`).
    :param sql_alchemy_conn: address of the database; default: SQLite in `home`.
    :param migrated: a SQLite file with Airflow's tables; a copy of it becomes the database.
    """

    def __init__(
        self,
        home: Path,
        dags_folder: Path,
        env: Mapping[str, str] | None = None,
        sql_alchemy_conn: str | None = None,
        migrated: Path | None = None,
    ) -> None:
        self.home = home.resolve()
        self.url = f"http://127.0.0.1:{free_port()}"
        self.username, self.password = "admin", secrets.token_urlsafe(12)
        self.rest = AirflowRest(self.url, self.username, self.password)
        database = sql_alchemy_conn or f"sqlite:///{self.home}/airflow.db"
        self._env = _clean_environment() | self._settings(dags_folder.resolve(), database) | dict(env or {})
        self._migrated = migrated
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._watchdog: Watchdog | None = None
        self._is_over = threading.Event()
        self._tending: threading.Thread | None = None
        self.deaths: list[str] = []

    def __enter__(self) -> Self:
        """Start all processes and wait until they are healthy."""
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Stop all processes."""
        self.stop()

    def start(self) -> None:
        """Create the database, start all processes and wait until Airflow reports them healthy.

        :raises ComponentDiedError: if one of them ends.
        :raises TimeoutError: if they are not healthy after two minutes.
        """
        self.prepare()
        for component in COMPONENTS:
            self.start_component(component)
        self.wait(self.is_healthy, START_SECONDS, "Airflow to be healthy")

    def prepare(self) -> None:
        """Create the user and the database.

        :raises ComponentDiedError: if the migration fails.
        """
        self.home.mkdir(parents=True, exist_ok=True)
        passwords = self.home / "passwords.json"
        passwords.touch(mode=0o600)
        passwords.write_text(json.dumps({self.username: self.password}))
        if self._migrated:
            shutil.copy(self._migrated, self.home / "airflow.db")
        else:
            self._spawn("database", ["db", "migrate"]).wait(START_SECONDS)
            self._check("database", may_end=True)
            del self._processes["database"]

    def start_component(self, component: str) -> None:
        """Start one process, for the first time or after :meth:`kill`, without waiting for it."""
        self._spawn(component, COMPONENTS[component])

    def kill(self, component: str) -> None:
        """Kill one process and all that it started (SIGKILL)."""
        process = self._processes.pop(component)
        _signal_session(process, signal.SIGKILL)
        process.wait()
        if self._watchdog:
            self._watchdog.forget(process.pid)

    def start_tending(self) -> None:
        """Begin to start again what ends by itself, as an init system does.

        Airflow's own processes end when their database is away, and SQLite when it is locked.
        """
        self._tending = threading.Thread(target=self._tend, daemon=True)
        self._tending.start()

    def _tend(self) -> None:
        while not self._is_over.wait(TEND_SECONDS):
            for component, process in list(self._processes.items()):
                if process.poll() is not None and self._processes.get(component) is process:
                    self.deaths.append(component)
                    self.kill(component)
                    self.start_component(component)

    def pid(self, component: str) -> int:
        """Return the process id of a running component; it is also the id of its session."""
        return self._processes[component].pid

    def is_healthy(self) -> bool:
        """Return whether Airflow reports its database and all components healthy."""
        status = self.rest.health()
        return len(status) >= len(COMPONENTS) and set(status.values()) == {"healthy"}

    def wait(self, look: Callable[[], T], seconds: float, what: str) -> T:
        """Repeat a look until its answer is true, and return the answer.

        :raises ComponentDiedError: if a process has ended.
        :raises TimeoutError: after `seconds`; its message contains `what`.
        """
        deadline = time.monotonic() + seconds
        while not (answer := look()):
            for component in self._processes:
                self._check(component)
            if time.monotonic() > deadline:
                raise TimeoutError(f"Waited {seconds} s for {what}. The logs are in {self.home}.")
            time.sleep(LOOK_SECONDS)
        return answer

    def command(self, *arguments: str) -> str:
        """Run one `airflow` command with this Airflow's settings, and return its standard output.

        :raises subprocess.CalledProcessError: if it fails.
        """
        call = [sys.executable, "-m", "airflow", *arguments]
        return subprocess.run(call, env=self._env, cwd=self.home, check=True, text=True, stdout=subprocess.PIPE).stdout  # noqa: S603 - our own interpreter

    def stop(self) -> None:
        """Stop all processes: with SIGTERM, and those that do not end in time with SIGKILL."""
        self._is_over.set()
        if self._tending:
            self._tending.join()
        for process in self._processes.values():
            process.terminate()
        deadline = time.monotonic() + STOP_SECONDS
        for process in self._processes.values():
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(max(0.0, deadline - time.monotonic()))
            _signal_session(process, signal.SIGKILL)
            process.wait()
            if self._watchdog:
                self._watchdog.forget(process.pid)
        self._processes.clear()
        if self._watchdog:
            self._watchdog.stop()
            self._watchdog = None
        self.rest.close()

    def _spawn(self, component: str, arguments: list[str]) -> subprocess.Popen[bytes]:
        with self._log_of(component).open("ab") as log:
            self._processes[component] = subprocess.Popen(  # noqa: S603 - our own interpreter
                [sys.executable, "-m", "airflow", *arguments],
                env=self._env,
                cwd=self.home,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                # A new session: Ctrl-C reaches only this process, and a kill reaches all children.
                start_new_session=True,
            )
        self._watchdog = self._watchdog or Watchdog()
        self._watchdog.add(self._processes[component].pid)
        return self._processes[component]

    def _check(self, component: str, *, may_end: bool = False) -> None:
        code = self._processes[component].poll()
        if code is None or (may_end and code == 0):
            return
        log = self._log_of(component)
        tail = "\n".join(log.read_text(errors="replace").splitlines()[-25:])
        raise ComponentDiedError(f"Airflow's {component} ended with exit code {code}. The end of {log}:\n{tail}")

    def _log_of(self, component: str) -> Path:
        return self.home / f"{component}.log"

    def _settings(self, dags_folder: Path, database: str) -> dict[str, str]:
        port = self.url.rpartition(":")[2]
        return {
            "AIRFLOW_HOME": str(self.home),
            "AIRFLOW__API_AUTH__JWT_SECRET": secrets.token_hex(32),
            "AIRFLOW__API__BASE_URL": self.url,
            "AIRFLOW__API__HOST": "127.0.0.1",
            "AIRFLOW__API__PORT": port,
            "AIRFLOW__API__SECRET_KEY": secrets.token_hex(32),
            "AIRFLOW__API__WORKERS": "1",
            "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
            "AIRFLOW__CORE__DAGS_FOLDER": str(dags_folder),
            "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{self.url}/execution/",
            "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
            "AIRFLOW__CORE__FERNET_KEY": base64.urlsafe_b64encode(secrets.token_bytes(32)).decode(),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__CORE__PARALLELISM": "4",  # as many processes are forked at the start
            "AIRFLOW__CORE__PLUGINS_FOLDER": str(self.home / "plugins"),
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(self.home / "passwords.json"),
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": f"{self.username}:admin",
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": database,
            "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
        }


def _clean_environment() -> dict[str, str]:
    """Return this process's environment without variables of another Airflow."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")}
    no_proxy = ",".join(filter(None, [env.get("NO_PROXY"), "127.0.0.1", "localhost"]))
    # The second is for macOS, where a look-up of the system's proxies crashes a forked process.
    return env | {"NO_PROXY": no_proxy, "OBJC_DISABLE_INITIALIZE_FORK_SAFETY": "YES"}


def free_port() -> int:
    """Return a port of the loopback interface that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _signal_session(process: subprocess.Popen[bytes], number: int) -> None:
    # macOS answers "not permitted" for a group whose last member is a zombie.
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)

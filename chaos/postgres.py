"""A PostgreSQL for one run: a temporary folder, a free port, a user that is not root."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

from demo.airflow_processes import START_SECONDS, free_port
from demo.watchdog import shared_watchdog, start_watched


class Postgres:
    """Debian's PostgreSQL, installed first if it is missing, with an empty database.

    Use it as a context manager; :attr:`address` is the database's. If this process belongs to root, PostgreSQL runs as
    the user ``postgres``. Its data is deleted afterwards.
    """

    def __init__(self) -> None:
        self._programs = _programs()
        self._folder = Path(tempfile.mkdtemp(prefix="chaos-postgres-"))
        self._as_user: dict[str, Any] = {}
        if os.geteuid() == 0:
            user = pwd.getpwnam("postgres")
            os.chown(self._folder, user.pw_uid, user.pw_gid)
            self._as_user = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
        self._port = str(free_port())
        self._process: subprocess.Popen[Any] | None = None
        self.address = f"postgresql+psycopg2://airflow@127.0.0.1:{self._port}/airflow"

    def __enter__(self) -> Self:
        """Create the database.

        :raises subprocess.CalledProcessError: if that fails.
        """
        try:
            options = ["-U", "airflow", "--auth", "trust", "--no-sync"]
            self._run("initdb", "-D", str(self._folder / "data"), *options).check_returncode()
            self.start()
            self._run("createdb", *self._where, "-U", "airflow", "airflow").check_returncode()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """Stop it, and delete its data."""
        self.kill()
        shutil.rmtree(self._folder)

    def start(self) -> None:
        """Start it, for the first time or after :meth:`kill`, and return when it answers.

        :raises TimeoutError: if it does not within two minutes.
        """
        settings = ["-h", "127.0.0.1", "-p", self._port, "-k", str(self._folder)]
        settings += ["-c", "fsync=off", "-c", "max_connections=300"]
        command = [str(self._programs / "postgres"), "-D", str(self._folder / "data"), *settings]
        with (self._folder / "log").open("ab") as log:
            self._process = start_watched(command, cwd=self._folder, stdout=log, stderr=log, **self._as_user)
        deadline = time.monotonic() + START_SECONDS
        while self._run("pg_isready", *self._where).returncode:
            if time.monotonic() > deadline:
                raise TimeoutError(f"PostgreSQL does not answer; its log is {self._folder / 'log'}")
            time.sleep(0.1)

    def kill(self) -> None:
        """End it at once, without a checkpoint, and keep its data."""
        if self._process is not None:
            self._process.send_signal(signal.SIGQUIT)
            self._process.wait()
            shared_watchdog().forget(self._process.pid)
            self._process = None

    @property
    def _where(self) -> list[str]:
        return ["-h", "127.0.0.1", "-p", self._port]

    def _run(self, program: str, *arguments: str) -> subprocess.CompletedProcess[bytes]:
        command = [str(self._programs / program), *arguments]
        return subprocess.run(command, check=False, cwd=self._folder, stdout=subprocess.DEVNULL, **self._as_user)  # noqa: S603 - PostgreSQL's own


@contextmanager
def postgres() -> Iterator[str]:
    """Start PostgreSQL, and yield the address of its database."""
    with Postgres() as server:
        yield server.address


def _programs() -> Path:
    """Return the folder of initdb, which Debian does not put into the path."""
    if not (found := _installed()):
        for command in (["update"], ["install", "--yes", "postgresql"]):
            subprocess.run(["apt-get", "-qq", *command], check=True, stdout=subprocess.DEVNULL)  # noqa: S603, S607 - Debian's own
        found = _installed()
    if not found:
        raise FileNotFoundError("initdb of PostgreSQL")
    return found


def _installed() -> Path | None:
    versions = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    in_path = shutil.which("initdb")
    found = versions[-1] if versions else Path(in_path).resolve() if in_path else None
    return found.parent if found else None

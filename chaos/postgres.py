"""A PostgreSQL for one run: a temporary folder, a free port, a user that is not root."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_START = ("-o", "-h 127.0.0.1 -p {port} -k {folder} -c fsync=off -c max_connections=300")


@contextmanager
def postgres() -> Iterator[str]:
    """Start Debian's PostgreSQL, installed first if it is missing, and yield the address of an empty database.

    If this process belongs to root, PostgreSQL runs as the user ``postgres``. Its data is deleted afterwards.

    :raises subprocess.CalledProcessError: if it cannot be installed or does not start.
    """
    programs = _programs()
    folder = Path(tempfile.mkdtemp(prefix="chaos-postgres-"))
    user = pwd.getpwnam("postgres") if os.geteuid() == 0 else None
    if user:
        os.chown(folder, user.pw_uid, user.pw_gid)
    port = _free_port()

    def run(program: str, *arguments: str) -> None:
        command = [str(programs / program), *arguments]
        as_user = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []} if user else {}
        subprocess.run(command, check=True, cwd=folder, stdout=subprocess.DEVNULL, **as_user)  # type: ignore[call-overload]  # noqa: S603 - PostgreSQL's own

    data, log = str(folder / "data"), str(folder / "log")
    run("initdb", "-D", data, "-U", "airflow", "--auth", "trust", "--no-sync")
    run("pg_ctl", "-D", data, "-l", log, "-w", *(word.format(port=port, folder=folder) for word in _START), "start")
    try:
        run("createdb", "-h", "127.0.0.1", "-p", str(port), "-U", "airflow", "airflow")
        yield f"postgresql+psycopg2://airflow@127.0.0.1:{port}/airflow"
    finally:
        run("pg_ctl", "-D", data, "-m", "immediate", "stop")
        shutil.rmtree(folder)


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


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])

"""One job, one process: a notebook's source in, the executed notebook and how it ended out.

A notebook is code of unknown intent. It runs in a process tree of its own (:mod:`.kernel_process`), which gets a
clean environment and a fresh folder, and of which nothing is left when :meth:`KernelRunner.run` returns or is
cancelled. Three things see to that:

* the worker process is told to end through a pipe, and ends all its descendants, also those that left its session or
  lost their parent (on Linux they become its children; elsewhere the next point has to do);
* each process of a job carries a mark in its environment, and whatever still carries it when the worker is gone is
  killed: a notebook that kills the worker gains nothing;
* when the emulator itself is killed, the pipe closes, which is the same as being told.

What is left open: a notebook runs as the user who started the emulator. It may read that user's files and signal that
user's processes, the emulator's too. A program that it starts with an emptied environment *after* having killed the
worker is not found.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import secrets
import shutil
import stat
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .processes import MARK, end_marked

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterator, Mapping

MAX_NOTEBOOK_BYTES = 128 * 2**20
"""The largest executed notebook that is taken over. Outputs are bounded well below it (see ``kernel_process``)."""

_WORKER = "airflow_nbjobs.emulator.kernel_process"
# What a program needs to run at all. A machine in the cloud has none of the caller's variables, and no AIRFLOW__* or
# credentials.
_KEPT = ("HOME", "JUPYTER_PATH", "LANG", "LC_ALL", "LC_CTYPE", "LOGNAME", "PATH", "SHELL", "TMPDIR", "TZ", "USER")
_GRACE_SECONDS = 6.0


@dataclass(frozen=True, kw_only=True)
class Ended:
    """How a notebook ended.

    :param ok: whether all its cells ran as they should.
    :param message: empty when it is ok, else what a person should read in the job's status. Cells are numbered from 1
        in the order in which they ran, as in Jupyter's ``In [3]``: text and empty cells do not count.
    :param notebook: the executed notebook, as far as it got; None when there is none.
    """

    ok: bool
    message: str
    notebook: bytes | None


class SimulatedRunner:
    """Run nothing: a job takes its time and succeeds, with the notebook as it came.

    :param seconds: how long a job takes.
    """

    def __init__(self, *, seconds: float) -> None:
        self._seconds = seconds

    async def run(self, source: bytes, *, kernel_name: str | None, timeout_seconds: float) -> Ended:  # noqa: ARG002 - the runners' one shape
        """Wait as long as a job takes, or until it is over time."""
        await asyncio.sleep(min(self._seconds, timeout_seconds))
        if self._seconds > timeout_seconds:
            return Ended(ok=False, message=_too_long(timeout_seconds, 0), notebook=None)
        return Ended(ok=True, message="", notebook=source)


class KernelRunner:
    """Run each notebook in a kernel process of its own.

    :param scratch: a folder for the jobs' working folders; each is removed when its job ends.
    :param environment: variables that the notebooks get beside a few basic ones such as ``PATH`` and ``HOME``.
    """

    def __init__(self, *, scratch: Path, environment: Mapping[str, str]) -> None:
        self._scratch = scratch
        self._environment = dict(environment)

    async def run(self, source: bytes, *, kernel_name: str | None, timeout_seconds: float) -> Ended:
        """Run a notebook to its end, and end everything it started.

        Cancelling the task that waits here ends the kernel and all its children before it is cancelled.

        :param source: the ``.ipynb`` file; nbformat 1 to 4.
        :param kernel_name: a Jupyter kernel; None for the one that the notebook names, or ``python3``.
        :param timeout_seconds: how long the job may take, the kernel's start included.
        """
        with _folders(self._scratch) as (folder, sockets):
            (folder / "source.ipynb").write_bytes(source)
            mark = secrets.token_hex(16)
            worker = await self._start(folder, sockets, kernel_name, mark)
            try:
                in_time = await _finished(worker, timeout_seconds)
            finally:
                said = await _uninterrupted(_end(worker, mark))
            return _ended(said, worker.returncode, folder, None if in_time else timeout_seconds)

    async def _start(
        self, folder: Path, sockets: Path, kernel_name: str | None, mark: str
    ) -> asyncio.subprocess.Process:
        arguments = [str(folder), str(sockets), *([kernel_name] if kernel_name else [])]
        environment = {name: os.environ[name] for name in _KEPT if name in os.environ} | {
            "CLOUDSDK_CONFIG": str(folder / "gcloud"),  # the user's own Google credentials are not the job's
            "IPYTHONDIR": str(folder / "ipython"),  # nor is the user's IPython start-up code
            "JUPYTER_RUNTIME_DIR": str(sockets),
            # Without this gcsfs (2026.10) asks over gRPC, which no emulator of Cloud Storage answers, for minutes.
            "GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT": "false",
            **self._environment,
            MARK: mark,
        }
        return await asyncio.create_subprocess_exec(
            sys.executable,
            "-P",
            "-m",
            _WORKER,
            *arguments,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment,
            cwd=folder,
            start_new_session=True,  # Ctrl-C in the emulator's terminal is the emulator's business
        )


@contextlib.contextmanager
def _folders(scratch: Path) -> Iterator[tuple[Path, Path]]:
    """Make a job's folder, and one for its sockets: a socket's path has 107 characters, and scratch can be anywhere."""
    scratch.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="job-", dir=scratch)).resolve()
    sockets = Path(tempfile.mkdtemp(prefix="nbjobs-"))
    try:
        (folder / "work").mkdir()
        yield folder, sockets
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        shutil.rmtree(sockets, ignore_errors=True)


async def _finished(worker: asyncio.subprocess.Process, timeout_seconds: float) -> bool:
    """Wait for the worker to exit; False when time is up first."""
    try:
        await asyncio.wait_for(worker.wait(), timeout_seconds)
    except TimeoutError:
        return False
    return True


async def _end(worker: asyncio.subprocess.Process, mark: str) -> dict[str, Any]:
    """End a job's processes, politely first, and return the worker's last word, or an empty one."""
    assert worker.stdin is not None  # noqa: S101 - pipes were asked for
    assert worker.stdout is not None  # noqa: S101 - as above
    worker.stdin.close()
    try:
        await asyncio.wait_for(worker.wait(), _GRACE_SECONDS)
    except TimeoutError:
        with contextlib.suppress(ProcessLookupError):
            worker.kill()
        await worker.wait()
    await asyncio.to_thread(end_marked, mark)
    try:
        said = json.loads(await worker.stdout.read(65_536))
    except (ValueError, RecursionError):
        return {}
    return said if isinstance(said, dict) else {}


async def _uninterrupted(work: Coroutine[Any, Any, dict[str, Any]]) -> dict[str, Any]:
    """Await *work* to its end even if the waiting task is cancelled meanwhile; then let that happen."""
    task = asyncio.ensure_future(work)
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        raise cancelled
    return task.result()


def _ended(said: dict[str, Any], exit_code: int | None, folder: Path, timeout_seconds: float | None) -> Ended:
    """Put together how a job ended from what its worker said and left; the notebook may have forged all of it."""
    message = str(said.get("message", ""))[:2_000]
    if timeout_seconds is not None:
        message = _too_long(timeout_seconds, said.get("cell", 0))
    elif not said:
        message = f"The process that ran the notebook ended before the notebook did (exit code {exit_code})."
    notebook = _read(folder / "executed.ipynb")
    if not message and notebook is None:
        message = f"The executed notebook is missing, or larger than {MAX_NOTEBOOK_BYTES // 2**20} MiB."
    return Ended(ok=not message, message=message, notebook=notebook)


def _too_long(timeout_seconds: float, cell: object) -> str:
    where = f"; it was ended while cell {cell} was running" if cell else ""
    return f"The notebook did not finish within {timeout_seconds:g} s{where}."


def _read(path: Path) -> bytes | None:
    """Read a plain file of bearable size: the notebook can put anything there, also a FIFO that blocks for ever."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW)
    except OSError:
        return None
    with os.fdopen(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode) or status.st_size > MAX_NOTEBOOK_BYTES:
            return None
        return file.read(MAX_NOTEBOOK_BYTES)

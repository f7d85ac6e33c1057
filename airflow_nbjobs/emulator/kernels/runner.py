"""Run the notebook of one job in a separate process, and return the executed notebook.

A notebook is untrusted code. It runs in a separate process tree (:mod:`.worker`) with a clean environment and a new
folder. No process of it is left when :meth:`KernelRunner.run` returns or is cancelled:

* a closed pipe tells the worker process to end, and it ends all its descendants, also those that left its session or
  lost their parent (on Linux they become its children; elsewhere only the next point finds them);
* each process of a job has a mark in its environment, and every process that still has it when the worker has ended is
  killed: also when the notebook killed the worker;
* when the emulator itself is killed, the pipe closes too; when the worker is killed with it, Linux ends the kernel.

What remains: a notebook runs as the user who started the emulator. It can read that user's files and signal that user's
processes, the emulator too. A program that it starts with an empty environment *after* it killed the worker is not
found, nor one that it started when worker and emulator are killed at once.
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
from collections.abc import Coroutine, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from airflow_nbjobs.emulator.kernels.processes import MARK, end_marked

MAX_NOTEBOOK_BYTES = 128 * 2**20
"""The largest executed notebook that is read. The limit of its outputs is far below (see :mod:`.limits`)."""

_WORKER = "airflow_nbjobs.emulator.kernels.worker"
# What programs need. A machine in the cloud has neither the caller's other variables nor AIRFLOW__* or credentials.
_KEPT = ("HOME", "JUPYTER_PATH", "LANG", "LC_ALL", "LC_CTYPE", "LOGNAME", "PATH", "SHELL", "TMPDIR", "TZ", "USER")
_GRACE_SECONDS = 6.0


@dataclass(frozen=True, kw_only=True)
class Ended:
    """How a notebook ended.

    :param ok: whether all cells succeeded.
    :param message: empty when it is ok, else the message of the job's status. Cells are numbered from 1 in the order in
        which they ran, as in Jupyter's ``In [3]``: text cells and empty cells do not count.
    :param notebook: the executed notebook, possibly incomplete; None if the run left no notebook.
    :param wrong: the first thing that did not match nbformat in the notebook that was to run; empty for none.
    """

    ok: bool
    message: str
    notebook: bytes | None
    wrong: str = ""


class KernelRunner:
    """Run each notebook in its own kernel process.

    :param scratch: a folder for the jobs' working folders; each is removed when its job ends.
    :param environment: variables for the notebooks beside a few basic ones such as ``PATH`` and ``HOME``.
    """

    def __init__(self, *, scratch: Path, environment: Mapping[str, str]) -> None:
        self._scratch = scratch
        self._environment = dict(environment)

    async def run(self, source: bytes, *, kernel_name: str | None, timeout_seconds: float) -> Ended:
        """Run a notebook, and end every process that it started.

        When the task that waits here is cancelled, it ends the kernel and all its children first.

        :param source: the ``.ipynb`` file; nbformat 1 to 4.
        :param kernel_name: a Jupyter kernel; None for the kernel that the notebook names, or ``python3``.
        :param timeout_seconds: how long the job may take, the kernel's start included.
        """
        with _folders(self._scratch) as (folder, sockets):
            (folder / "source.ipynb").write_bytes(source)
            mark = secrets.token_hex(16)
            worker = await self._start(folder, sockets, kernel_name, mark)
            late: float | None = None
            try:
                await asyncio.wait_for(worker.wait(), timeout_seconds)
            except TimeoutError:
                late = timeout_seconds
            finally:
                report = await _uninterrupted(_end(worker, mark))
            return _ended(report, worker.returncode, folder, late)

    async def _start(
        self, folder: Path, sockets: Path, kernel_name: str | None, mark: str
    ) -> asyncio.subprocess.Process:
        environment = {name: os.environ[name] for name in _KEPT if name in os.environ} | {
            "CLOUDSDK_CONFIG": str(folder / "gcloud"),  # not the user's own Google credentials
            "IPYTHONDIR": str(folder / "ipython"),  # not the user's IPython start-up code
            "JUPYTER_RUNTIME_DIR": str(sockets),
            # Without this gcsfs (2026.10) waits for minutes for an answer to gRPC, which the storage does not speak.
            "GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT": "false",
            **self._environment,
            MARK: mark,
        }
        command = [sys.executable, "-P", "-m", _WORKER, str(folder), str(sockets)]
        return await asyncio.create_subprocess_exec(
            *command,
            *([kernel_name] if kernel_name else []),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment,
            cwd=folder,
            start_new_session=True,  # Ctrl-C in the emulator's terminal must reach the emulator only
        )


@contextlib.contextmanager
def _folders(scratch: Path) -> Iterator[tuple[Path, Path]]:
    """Make a job's folder, and one for its sockets: the path of a socket has at most 107 characters."""
    scratch.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="job-", dir=scratch)).resolve()
    sockets = Path(tempfile.mkdtemp(prefix="nbjobs-"))
    try:
        (folder / "work").mkdir()
        yield folder, sockets
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        shutil.rmtree(sockets, ignore_errors=True)


async def _end(worker: asyncio.subprocess.Process, mark: str) -> dict[str, Any]:
    """End a job's processes, by request first, and return the worker's report; empty if it sent no report."""
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
        report = json.loads(await worker.stdout.read(65_536))
    except (ValueError, RecursionError):
        return {}
    return report if isinstance(report, dict) else {}


async def _uninterrupted(work: Coroutine[Any, Any, dict[str, Any]]) -> dict[str, Any]:
    """Await *work* to its end, even if this task is cancelled meanwhile; raise the cancellation then."""
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


def _ended(report: dict[str, Any], exit_code: int | None, folder: Path, timeout_seconds: float | None) -> Ended:
    """Return how a job ended, from its worker's report and file; the notebook may have forged both."""
    message = str(report.get("message", ""))[:2_000]
    if timeout_seconds is not None:
        cell = f"; it was ended while cell {report['cell']} was running" if report.get("cell") else ""
        message = f"The notebook did not finish within {timeout_seconds:g} s{cell}."
    elif not report:
        message = f"The process that ran the notebook ended before the notebook did (exit code {exit_code})."
    notebook = _read(folder / "executed.ipynb")
    if not message and notebook is None:
        message = f"The executed notebook is missing, or larger than {MAX_NOTEBOOK_BYTES // 2**20} MiB."
    wrong = str(report.get("wrong", ""))[:500]
    return Ended(ok=not message, message=message, notebook=notebook, wrong=wrong)


def _read(path: Path) -> bytes | None:
    """Read a regular file of limited size: the notebook can put anything there, also a FIFO that blocks forever."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW)
    except OSError:
        return None
    with os.fdopen(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode) or status.st_size > MAX_NOTEBOOK_BYTES:
            return None
        return file.read(MAX_NOTEBOOK_BYTES)

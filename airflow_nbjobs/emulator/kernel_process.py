"""The process in which one notebook runs: nbclient, its kernel, and nothing of the emulator.

It must be assumed that the notebook takes it over: the notebook's code runs as the same user and can end, stop or
impersonate it. Nothing it reports is trusted by the emulator beyond this one job.

``python -m airflow_nbjobs.emulator.kernel_process <folder> <sockets> [<kernel name>]`` reads
``<folder>/source.ipynb``, runs it in ``<folder>/work``, writes ``<folder>/executed.ipynb`` after each cell and at the
end, and says in one line of JSON on its standard output how it went: ``{"ok": bool, "message": str, "cell": int}``.
When its standard input ends, or its parent is gone, it ends the kernel and every process that came from it, writes
the notebook as it then is, and exits.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import select
import shutil
import sys
import threading
import time
import warnings
from pathlib import Path
from typing import Any

import nbformat
from jupyter_client.kernelspec import KernelSpecManager, NoSuchKernel
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, DeadKernelError

from airflow_nbjobs.emulator.output_limit import NOTE, OutputLimit
from airflow_nbjobs.emulator.processes import end_descendants

MAX_MESSAGE_LENGTH = 1_000
"""How many characters of an error get into a message; a job's status is to be read by a person."""

_TERMINAL = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b[@-_]|[\x00-\x08\x0b-\x1f\x7f]")
_PR_SET_CHILD_SUBREAPER = 36


def plain(text: str) -> str:
    """Return *text* without terminal codes, cut to :data:`MAX_MESSAGE_LENGTH` characters."""
    cut = _TERMINAL.sub("", text[: 4 * MAX_MESSAGE_LENGTH]).strip()
    return cut if len(cut) <= MAX_MESSAGE_LENGTH else cut[: MAX_MESSAGE_LENGTH - 1] + "…"


class UnreadableError(Exception):
    """What was given is not a notebook that can be run."""


def load(source: bytes) -> nbformat.NotebookNode:
    """Read a notebook of any nbformat that can be brought to version 4.

    :raises UnreadableError: saying what is wrong with it.
    """
    try:
        document = json.loads(source)
    except (ValueError, RecursionError) as error:
        raise UnreadableError(f"The file is not a notebook: it is not JSON ({plain(str(error))}).") from None
    version = document.get("nbformat") if isinstance(document, dict) else None
    if not isinstance(version, int) or isinstance(version, bool):
        raise UnreadableError("The file is not a notebook: it is JSON, but has no nbformat number.")
    if version not in nbformat.versions:
        known = ", ".join(str(known) for known in sorted(nbformat.versions))
        raise UnreadableError(f"The notebook's nbformat {version} is unknown here; known are {known}.")
    try:
        notebook: nbformat.NotebookNode = nbformat.reads(source.decode(), as_version=4)  # type: ignore[no-untyped-call] # nbformat has no types
        _, notebook = nbformat.validator.normalize(notebook)
        for cell in notebook.cells:
            if cell.cell_type == "code":  # what an earlier run left does not matter, even where it is malformed
                cell.outputs, cell.execution_count = [], None
        if kernel := notebook.metadata.get("kernelspec"):  # some tools leave out what nbformat requires
            kernel.setdefault("name", "python3")
            kernel.setdefault("display_name", kernel["name"])
        nbformat.validate(notebook)
    except Exception as error:  # noqa: BLE001 - the converters of old versions fail in any way on a malformed file
        raise UnreadableError(f"The file is not a valid notebook of nbformat {version}: {plain(str(error))}") from None
    return notebook


class Manager(AsyncKernelManager):
    """jupyter_client's manager, whose clients lose nothing."""

    def client(self, **kwargs: Any) -> Any:
        """Make a client of the kernel."""
        client = super().client(**kwargs)
        # By default ZeroMQ drops what a slow reader has not taken after 1,000 messages, the end of a cell too.
        client.context.rcvhwm = 0
        return client


class Client(NotebookClient):
    """nbclient, with a bound on what it keeps and a notebook that is on disk after each cell."""

    def __init__(self, notebook: nbformat.NotebookNode, manager: AsyncKernelManager, save_to: Path) -> None:
        super().__init__(
            notebook,
            manager,
            timeout=None,  # the emulator bounds the job as a whole, as the service does
            iopub_timeout=30,  # nbclient drops the end of a large output after 4 s
            on_cell_execute=self._started,
            on_cell_executed=self._finished,
        )
        self.cell_number = 0
        self._save_to = save_to
        self._started_at, self._save_seconds = time.monotonic(), 0.0
        self._limit = OutputLimit()

    def _started(self, cell: nbformat.NotebookNode, cell_index: int) -> None:  # noqa: ARG002 - nbclient passes these by name
        self.cell_number += 1

    def _finished(self, cell: nbformat.NotebookNode, cell_index: int, execute_reply: Any) -> None:  # noqa: ARG002 - as above
        # A large notebook of many cells would spend its time being written: a twentieth of it is enough.
        if self._save_seconds < 1 + (time.monotonic() - self._started_at) / 20:
            self.save()

    def save(self) -> None:
        """Write the notebook as it is now, so that a reader finds the old file or the new one."""
        started = time.monotonic()
        # A lone surrogate has no UTF-8; its backslash escape is what JSON has for it.
        content = nbformat.writes(self.nb).encode("utf-8", "backslashreplace")  # type: ignore[no-untyped-call] # as above
        partial = self._save_to.with_suffix(".partial")
        partial.write_bytes(content)
        partial.replace(self._save_to)
        self._save_seconds += time.monotonic() - started

    def process_message(
        self, msg: dict[str, Any], cell: nbformat.NotebookNode, cell_index: int
    ) -> nbformat.NotebookNode | None:
        """Take in one message of the kernel, unless the notebook is full."""
        kind = msg["msg_type"]
        if kind in {"status", "execute_input", "clear_output"}:
            return super().process_message(msg, cell, cell_index)
        was_full, output = self._limit.full, None
        content = self._limit.cut(kind, msg["content"])
        if content is not None:
            output = super().process_message({**msg, "content": content}, cell, cell_index)
        if self._limit.full and not was_full:
            cell.outputs.append(nbformat.from_dict(NOTE))  # type: ignore[no-untyped-call] # as above
        return output


async def execute(folder: Path, sockets: Path, kernel_name: str | None) -> dict[str, Any]:
    """Run the notebook of *folder*, write it executed, and return what is to be said of it."""
    try:
        notebook = load((folder / "source.ipynb").read_bytes())
    except UnreadableError as error:
        return {"ok": False, "message": str(error), "cell": 0}
    name = kernel_name or notebook.metadata.get("kernelspec", {}).get("name") or "python3"
    # Unix sockets in a folder of our own: no other user of the machine gets at the kernel, as one could at a port.
    manager = Manager(
        kernel_name=name,
        transport="ipc",
        ip=str(sockets / "k"),
        connection_file=str(sockets / "kernel.json"),
        shutdown_wait_time=2.0,
    )
    client = Client(notebook, manager, folder / "executed.ipynb")
    stderr, last_words = _listen()
    message = ""
    try:
        await client.async_execute(cwd=str(folder / "work"), stdout=_devnull(), stderr=stderr)
    except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 - whatever stops a notebook is told in the job's status
        message = _explain(error, client.cell_number, name, last_words)
    if client.cell_number or not message:  # a kernel that never started has executed nothing
        client.save()
    with contextlib.suppress(Exception):
        await manager.shutdown_kernel(now=bool(message))
    return {"ok": not message, "message": message, "cell": client.cell_number}


def _explain(error: BaseException, cell: int, kernel_name: str, last_words: bytearray) -> str:
    """Say why the notebook stopped, for a person who reads the job's status."""
    if isinstance(error, CellExecutionError):
        return f"Cell {cell} failed: {plain(f'{error.ename}: {error.evalue}')}"
    if isinstance(error, NoSuchKernel):
        known = ", ".join(sorted(KernelSpecManager().find_kernel_specs())) or "none"
        return (
            f"There is no kernel named {plain(kernel_name)!r} on this machine; it has: {known}. It is named by "
            "the job's kernel_name, or else by the notebook's metadata.kernelspec: give kernel_name one that is there, "
            "or install it."
        )
    if cell == 0:
        reason = plain(last_words.decode(errors="replace")) or plain(str(error))
        return f"The kernel {plain(kernel_name)!r} did not start: {reason}"
    if isinstance(error, DeadKernelError):
        return f"The kernel died while cell {cell} was running."
    return f"Cell {cell} could not be run to its end: {plain(f'{type(error).__name__}: {error}')}"


def _devnull() -> int:
    return os.open(os.devnull, os.O_RDWR)


def _listen() -> tuple[int, bytearray]:
    """Return the writing end of a pipe, and the last bytes that came out of it: why a kernel did not start."""
    reader, writer = os.pipe()
    tail = bytearray()

    def drain() -> None:
        while piece := os.read(reader, 65_536):
            tail.extend(piece[-2_000:])
            del tail[:-2_000]

    threading.Thread(target=drain, daemon=True).start()
    return writer, tail


def _watch(lifeline: int, parent: int, on_end: Any) -> None:
    """Wait until the lifeline ends or the parent is another one, then end all descendants and call *on_end*."""
    while not select.select([lifeline], [], [], 1.0)[0] and os.getppid() == parent:
        pass
    end_descendants()
    on_end()


def main(folder: Path, sockets: Path, kernel_name: str | None) -> None:
    """Run one notebook, as the module's docstring says."""
    # The kernel must not hold these: the parent waits for the one to close, and closes the other to end everything.
    lifeline, report, parent = os.dup(0), os.dup(1), os.getppid()
    os.dup2(_devnull(), 0)
    os.dup2(_devnull(), 1)
    if sys.platform == "linux":
        import ctypes

        # A process whose parent ends becomes this one's child, not init's: then it can be found, whatever it did to
        # get away.
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    warnings.simplefilter("ignore")  # nbformat's and traitlets' words about a notebook's age are for nobody here

    async def run() -> dict[str, Any]:
        task = asyncio.ensure_future(execute(folder, sockets, kernel_name))
        loop = asyncio.get_running_loop()

        def end() -> None:
            loop.call_soon_threadsafe(task.cancel)
            time.sleep(3)  # enough to write the notebook; a loop that cannot do it by then never will
            leave(1)

        threading.Thread(target=_watch, args=(lifeline, parent, end), daemon=True).start()
        return await task

    def leave(code: int) -> None:
        if os.getppid() != parent:  # nobody else is left to tidy up
            shutil.rmtree(folder, ignore_errors=True)
            shutil.rmtree(sockets, ignore_errors=True)
        os._exit(code)  # sockets and threads of a kernel that is gone could hold up a polite exit

    said = asyncio.run(run())
    end_descendants()
    with contextlib.suppress(OSError):  # nobody may be left to hear it
        os.write(report, json.dumps(said).encode())
    leave(0)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3] if len(sys.argv) > 3 else None)

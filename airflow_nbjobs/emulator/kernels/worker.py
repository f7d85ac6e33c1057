"""The process that runs one notebook, with nbclient.

The notebook may take it over: its code runs as the same user and can end, stop or impersonate this process. The
emulator trusts its report for this one job only.

``python -m airflow_nbjobs.emulator.kernels.worker <folder> <sockets> [<kernel name>]`` reads
``<folder>/source.ipynb``, runs it in ``<folder>/work``, writes ``<folder>/executed.ipynb`` after each cell and at the
end, and prints the result as one line of JSON: ``{"ok": bool, "message": str, "cell": int, "wrong": str}``. When
its standard input ends, or its parent is gone, it ends the kernel and all descendants, writes the notebook as it is,
and exits.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import select
import shutil
import sys
import threading
import time
import warnings
from pathlib import Path
from typing import Any

from jupyter_client.kernelspec import KernelSpecManager, NoSuchKernel
from nbclient.exceptions import CellExecutionError, DeadKernelError

from airflow_nbjobs.emulator.kernels.client import Client, Manager
from airflow_nbjobs.emulator.kernels.notebooks import UnreadableError, load, plain
from airflow_nbjobs.emulator.kernels.processes import end_descendants, end_with_parent_hook

_PR_SET_CHILD_SUBREAPER = 36


async def execute(folder: Path, sockets: Path, kernel_name: str | None) -> dict[str, Any]:
    """Run the notebook of *folder*, write the executed notebook, and return the report."""
    try:
        notebook, wrong = load((folder / "source.ipynb").read_bytes())
    except UnreadableError as error:
        return {"ok": False, "message": str(error), "cell": 0}
    name = kernel_name or notebook.metadata.get("kernelspec", {}).get("name") or "python3"
    # Unix sockets in a private folder: other users of the machine could reach the kernel at a port.
    manager = Manager(
        kernel_name=name,
        transport="ipc",
        ip=str(sockets / "k"),
        connection_file=str(sockets / "kernel.json"),
        shutdown_wait_time=2.0,
    )
    client = Client(notebook, manager, folder / "executed.ipynb")
    stderr, last_errors = _capture()
    message = ""
    try:
        await client.async_execute(
            cwd=str(folder / "work"), stdout=_devnull(), stderr=stderr, preexec_fn=end_with_parent_hook()
        )
    except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 - the job's status reports any reason
        message = _explain(error, client.cell_number, name, last_errors)
    if client.cell_number or not message:  # a kernel that did not start has executed nothing
        client.save()
    with contextlib.suppress(Exception):
        await manager.shutdown_kernel(now=bool(message))
    return {"ok": not message, "message": message, "cell": client.cell_number, "wrong": wrong}


def _explain(error: BaseException, cell: int, kernel_name: str, last_errors: bytearray) -> str:
    """Return why the notebook stopped, for the job's status."""
    if isinstance(error, CellExecutionError):
        return f"Cell {cell} failed: {plain(f'{error.ename}: {error.evalue}')}"
    if isinstance(error, NoSuchKernel):
        known = ", ".join(sorted(KernelSpecManager().find_kernel_specs())) or "none"
        return (
            f"There is no kernel named {plain(kernel_name)!r} on this machine; it has: {known}. The name is the job's "
            "kernel_name, or else the notebook's metadata.kernelspec: set kernel_name to one of these, or install it."
        )
    if cell == 0:
        reason = plain(last_errors.decode(errors="replace")) or plain(str(error))
        return f"The kernel {plain(kernel_name)!r} did not start: {reason}"
    if isinstance(error, DeadKernelError):
        return f"The kernel died while cell {cell} was running."
    return f"Cell {cell} could not be run to its end: {plain(f'{type(error).__name__}: {error}')}"


def _devnull() -> int:
    return os.open(os.devnull, os.O_RDWR)


def _capture() -> tuple[int, bytearray]:
    """Return the writing end of a pipe, and a buffer with the last bytes written to it."""
    reader, writer = os.pipe()
    tail = bytearray()

    def drain() -> None:
        while piece := os.read(reader, 65_536):
            tail.extend(piece[-2_000:])
            del tail[:-2_000]

    threading.Thread(target=drain, daemon=True).start()
    return writer, tail


def _watch(lifeline: int, parent: int, on_end: Any) -> None:
    """Wait until the lifeline closes or the parent is gone, then end all descendants and call *on_end*."""
    while not select.select([lifeline], [], [], 1.0)[0] and os.getppid() == parent:
        pass
    end_descendants()
    on_end()


def main(folder: Path, sockets: Path, kernel_name: str | None) -> None:
    """Run one notebook; see the module's docstring."""
    # The kernel must not inherit these: the parent closes the first to end everything, and reads the second to its end.
    lifeline, report_pipe, parent = os.dup(0), os.dup(1), os.getppid()
    os.dup2(_devnull(), 0)
    os.dup2(_devnull(), 1)
    if sys.platform == "linux":
        import ctypes

        # An orphaned descendant becomes a child of this process, not of init: then it can be found.
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    warnings.simplefilter("ignore")  # nobody reads what nbformat and traitlets say about a notebook's age

    async def run() -> dict[str, Any]:
        task = asyncio.ensure_future(execute(folder, sockets, kernel_name))
        loop = asyncio.get_running_loop()

        def end() -> None:
            loop.call_soon_threadsafe(task.cancel)
            time.sleep(3)  # enough to write the notebook
            leave(1)

        threading.Thread(target=_watch, args=(lifeline, parent, end), daemon=True).start()
        return await task

    def leave(code: int) -> None:
        if os.getppid() != parent:  # the parent cannot remove them
            shutil.rmtree(folder, ignore_errors=True)
            shutil.rmtree(sockets, ignore_errors=True)
        os._exit(code)  # sockets and threads of a kernel that has ended could delay a normal exit

    report = asyncio.run(run())
    end_descendants()
    with contextlib.suppress(OSError):  # the parent may be gone
        os.write(report_pipe, json.dumps(report).encode())
    leave(0)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3] if len(sys.argv) > 3 else None)

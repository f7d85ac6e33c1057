"""nbclient and jupyter_client, with the changes that the emulator needs."""

from __future__ import annotations

import time
from pathlib import Path
from queue import Empty
from typing import Any

import nbformat
from jupyter_client.channels import AsyncZMQSocketChannel
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient

from airflow_nbjobs.emulator.kernels.limits import NOTE, OutputLimit

_LONGEST_POLL_SECONDS = 0.5


class PollingChannel(AsyncZMQSocketChannel):
    """A channel that looks for messages twice a second, even when nothing wakes it.

    A socket's readiness is signaled once. When something sends on the socket while another task waits for a message, as
    an ``Output`` widget does on the shell channel, the signal is consumed by the send, and a wait without a limit never
    ends (nbclient 0.11, pyzmq 27).
    """

    async def get_msg(self, timeout: float | None = None) -> dict[str, Any]:  # type: ignore[override] # noqa: ASYNC109 - as jupyter_client has it
        """Return the next message.

        :param timeout: seconds; None to wait without a limit.
        :raises Empty: when no message arrived in time.
        """
        end = float("inf") if timeout is None else time.monotonic() + timeout
        while True:
            left = max(0.0, end - time.monotonic())
            try:
                return await super().get_msg(min(left, _LONGEST_POLL_SECONDS))
            except Empty:
                if left <= _LONGEST_POLL_SECONDS:
                    raise


class Manager(AsyncKernelManager):
    """jupyter_client's manager, with clients that drop no messages."""

    def client(self, **kwargs: Any) -> Any:
        """Return a client of the kernel."""
        channels = ("shell", "iopub", "stdin", "control")
        client = super().client(**{f"{name}_channel_class": PollingChannel for name in channels}, **kwargs)
        # By default ZeroMQ drops messages to a slow reader after 1,000, the end of a cell too.
        client.context.rcvhwm = 0
        return client


class Client(NotebookClient):
    """nbclient with a limit of its outputs, which saves the notebook after each cell."""

    def __init__(self, notebook: nbformat.NotebookNode, manager: AsyncKernelManager, save_to: Path) -> None:
        super().__init__(
            notebook,
            manager,
            timeout=None,  # the emulator limits the whole job, as the service does
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
        # A large notebook of many cells would need most of the time for saving: a twentieth of it is enough.
        if self._save_seconds < 1 + (time.monotonic() - self._started_at) / 20:
            self.save()

    def save(self) -> None:
        """Write the notebook as it is now, atomically."""
        started = time.monotonic()
        # A lone surrogate cannot be encoded in UTF-8; JSON has its backslash escape.
        content = nbformat.writes(self.nb).encode("utf-8", "backslashreplace")  # type: ignore[no-untyped-call] # as above
        partial = self._save_to.with_suffix(".partial")
        partial.write_bytes(content)
        partial.replace(self._save_to)
        self._save_seconds += time.monotonic() - started

    def process_message(
        self, msg: dict[str, Any], cell: nbformat.NotebookNode, cell_index: int
    ) -> nbformat.NotebookNode | None:
        """Process a message of the kernel, as far as the limit allows."""
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

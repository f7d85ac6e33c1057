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

from airflow_nbjobs.emulator.kernels.limits import DROPPED, LOST, UNREADABLE_RESULT, OutputLimit

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
        self._pieces: list[str] = []  # of the stream that is the last output of the cell
        self._is_idle = self._is_noted = False
        self._cell = nbformat.NotebookNode()  # type: ignore[no-untyped-call] # as above

    def _started(self, cell: nbformat.NotebookNode, cell_index: int) -> None:
        # Code cells are numbered as people count them, empty ones too.
        self.cell_number = sum(each.cell_type == "code" for each in self.nb.cells[: cell_index + 1])
        self._cell = cell
        self._limit.start_cell(cell.metadata.get("tags", ()))
        self._pieces, self._is_idle, self._is_noted = [], False, False

    def _finished(self, cell: nbformat.NotebookNode, cell_index: int, execute_reply: Any) -> None:  # noqa: ARG002 - as above
        self._join(cell)
        if not self._is_idle:  # nbclient stopped waiting for the end of the output
            self._limit.lost_result = self._limit.lost_result or self._limit.is_result
            cell.outputs.append(nbformat.from_dict(LOST))  # type: ignore[no-untyped-call] # as above
        if self._limit.lost_result:
            cell.outputs.append(nbformat.from_dict(UNREADABLE_RESULT))  # type: ignore[no-untyped-call] # as above
        # A large notebook of many cells would need most of the time for saving: a twentieth of it is enough.
        if self._save_seconds < 1 + (time.monotonic() - self._started_at) / 20:
            self.save()

    def _join(self, cell: nbformat.NotebookNode) -> None:
        """Put the pieces of a stream that have been collected into the last output."""
        if self._pieces and cell.get("outputs"):
            cell.outputs[-1]["text"] += "".join(self._pieces)
        self._pieces = []

    def save(self) -> None:
        """Write the notebook as it is now, atomically."""
        started = time.monotonic()
        self._join(self._cell)
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
        kind, content = msg["msg_type"], msg["content"]
        self._is_idle = self._is_idle or (kind == "status" and content["execution_state"] == "idle")
        if kind in {"status", "execute_input"}:
            return super().process_message(msg, cell, cell_index)
        joins = kind == "stream" and self._continues(msg, cell)
        if not joins:
            self._join(cell)
        if kind == "clear_output":
            return super().process_message(msg, cell, cell_index)
        output, content = None, self._limit.cut(kind, content, joins=joins)
        if joins and content is not None:
            self._pieces.append(content["text"])
        elif content is not None:
            output = super().process_message({**msg, "content": content}, cell, cell_index)
        if self._limit.is_full and not self._is_noted:
            self._is_noted = True
            self._join(cell)
            cell.outputs.append(nbformat.from_dict(DROPPED))  # type: ignore[no-untyped-call] # as above
        return output

    def _continues(self, msg: dict[str, Any], cell: nbformat.NotebookNode) -> bool:
        """Say whether a piece of a stream continues the last output of the cell."""
        if self.clear_before_next_output or self.output_hook_stack[msg["parent_header"].get("msg_id")]:
            return False
        last = cell.outputs[-1] if cell.outputs else {}
        return last.get("output_type") == "stream" and last.get("name") == msg["content"].get("name")

"""How much output of a notebook is kept: a notebook that prints endlessly must not fill memory and disk.

Each cell may use an eighth of what earlier cells left, therefore there is room for every later cell. Results, which are
the outputs of cells tagged ``xcom`` or ``result`` and the scraps of scrapbook and papermill, have separate room. A
result that does not fit is replaced by one that cannot be read: a task that takes results must not find it missing.

A kernel itself also drops messages: those after 1,000 that were not read in time (ZeroMQ's default).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

MAX_OUTPUT_BYTES = 64 * 2**20
"""How much output the cells of a notebook can keep, in characters of text and data."""

MAX_RESULT_BYTES = 16 * 2**20
"""How much the results of a notebook can take."""

MAX_ERROR_BYTES = 8 * 2**20
"""How much the errors of a notebook can take, which show why it failed."""

MAX_OUTPUTS = 10_000
"""How many outputs a cell keeps. The pieces of a stream are joined to one output."""

_RESULT_TAGS = {"xcom", "result"}
_RESULT_TYPES = ("application/scrapbook.scrap.", "application/papermill.record")
_SMALL = 2_000  # comm messages of widgets: without the small ones an Output widget would never release the output


def _note(reason: str) -> dict[str, Any]:
    return {"output_type": "stream", "name": "stderr", "text": f"[The emulator dropped outputs here: {reason}.]\n"}


DROPPED = _note(
    f"a cell keeps {MAX_OUTPUTS:,} of them, and an eighth of what earlier cells left of {MAX_OUTPUT_BYTES // 2**20} MiB"
)
"""The output that says in the notebook that others are missing."""

LOST = _note("the kernel produced them faster than it sent them")
"""The same, when messages of the kernel did not arrive."""

UNREADABLE_RESULT = {
    "output_type": "display_data",
    "metadata": {},
    "data": {
        "application/scrapbook.scrap.json+json": None,
        "text/plain": f"[The emulator dropped a result: it keeps {MAX_RESULT_BYTES // 2**20} MiB of them.]",
    },
}
"""The output in place of a result that is not kept: a scrap without a name or data, which no reader accepts."""


class OutputLimit:
    """Count the output of each cell, and shorten it."""

    def __init__(self) -> None:
        self._left, self._results_left, self._errors_left = MAX_OUTPUT_BYTES, MAX_RESULT_BYTES, MAX_ERROR_BYTES
        self.start_cell(())

    def start_cell(self, tags: Iterable[str]) -> None:
        """Begin to count the outputs of the next cell, which has these tags."""
        self.is_result = not _RESULT_TAGS.isdisjoint(tags)
        self.is_full = False  # whether outputs of the cell have been shortened or dropped
        self.lost_result = False  # whether a result of the cell has been dropped
        self._room, self._outputs = self._left // 8, 0

    def cut(self, kind: str, content: dict[str, Any], *, joins: bool) -> dict[str, Any] | None:
        """Return the part of the content of a kernel's message that is kept, or None.

        :param kind: the type of the message.
        :param joins: whether it is added to the output before it.
        """
        size = _size(content)
        if kind == "error":
            content = _shortened(content)
            self._errors_left -= _size(content)
            return content if self._errors_left > 0 else {**content, "traceback": []}
        if kind.startswith("comm") and size < _SMALL:
            return content
        if self.is_result or _is_result(content):
            fits = size <= self._results_left
            self._results_left -= size if fits else 0
            self.lost_result = self.lost_result or not fits
            return content if fits else None
        if self.is_full:
            return None
        self._outputs += not joins
        room, self._room = self._room, self._room - size
        self._left -= min(size, room)
        if size <= room and self._outputs <= MAX_OUTPUTS:
            return content
        self.is_full = True
        # The beginning of a long text is useful; half an image is not.
        return {**content, "text": content["text"][:room]} if kind == "stream" and size > room else None


def _is_result(content: Mapping[str, Any]) -> bool:
    data = content.get("data")
    return isinstance(data, Mapping) and any(str(kind).startswith(_RESULT_TYPES) for kind in data)


def _shortened(error: dict[str, Any]) -> dict[str, Any]:
    frames = [str(frame)[:100_000] for frame in error.get("traceback") or ()]
    return {
        "ename": str(error.get("ename", ""))[:1_000],
        "evalue": str(error.get("evalue", ""))[:100_000],
        "traceback": frames if len(frames) <= 20 else [*frames[:10], "…", *frames[-9:]],
    }


def _size(value: Any) -> int:
    """Estimate the size of a message's content in the file."""
    if isinstance(value, str):
        return len(value)
    if isinstance(value, dict):
        return sum(len(str(key)) + _size(inner) + 6 for key, inner in value.items())
    if isinstance(value, list):
        return sum(_size(inner) + 2 for inner in value)
    return 8

"""How much output of a notebook is kept: a notebook that prints endlessly must not fill memory and disk.

A kernel itself also drops messages: those after 1,000 that were not read in time (ZeroMQ's default).
"""

from __future__ import annotations

from typing import Any

MAX_OUTPUT_BYTES = 32 * 2**20
"""How much output one notebook keeps, in characters of text and data. A longer text is cut, the rest dropped."""

MAX_OUTPUTS = 10_000
"""How many outputs one notebook keeps. A flushed piece of a stream is one output."""

MAX_ERRORS = 1_000
"""How many errors one notebook keeps, even when the other limits are reached: they show why it failed."""

NOTE = {
    "output_type": "stream",
    "name": "stderr",
    "text": (
        f"[The emulator keeps {MAX_OUTPUT_BYTES // 2**20} MiB and {MAX_OUTPUTS:,} pieces of output of a notebook. "
        "What came after this was dropped.]\n"
    ),
}
"""The output in the notebook that says that others are missing."""


class OutputLimit:
    """Count a notebook's output, and shorten it."""

    full = False
    """Whether something has been cut or dropped."""

    def __init__(self) -> None:
        self._bytes = self._outputs = self._errors = 0

    def cut(self, kind: str, content: dict[str, Any]) -> dict[str, Any] | None:
        """Return the part of the content of a kernel's message that is kept, or None.

        :param kind: the type of the message.
        """
        if kind == "error":
            self._errors += 1
            return _shortened(content) if self._errors <= MAX_ERRORS else None
        if self.full:
            return None
        room, size = MAX_OUTPUT_BYTES - self._bytes, _size(content)
        self._bytes += size
        self._outputs += 1
        if size <= room and self._outputs <= MAX_OUTPUTS:
            return content
        self.full = True
        # The beginning of a long text is useful; half an image is not.
        return {**content, "text": content["text"][:room]} if kind == "stream" else None


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

"""Sizes: in messages, and how much of a notebook a page shows at most."""

from __future__ import annotations

from dataclasses import dataclass

from airflow_nbjobs.notebooks.scanner import PIECE_BYTES

__all__ = ["Limits", "amount"]


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What is rendered at most. What is over a limit is replaced by a note with its size.

    :ivar notebook_bytes: size of the notebook; a larger one is refused.
    :ivar output_bytes: size of an output, and of a cell without its outputs; at most 4 MiB.
    :ivar text_characters: of a printed or displayed text, and of a cell's source.
    :ivar page_bytes: size of all outputs together; the cells without them may have a quarter of it in addition.
    :ivar cells: number of cells.
    :ivar outputs: number of outputs of one cell.
    :ivar seconds: after this time, what needs time to render is shown as plain text.
    """

    notebook_bytes: int = 64 * 2**20
    output_bytes: int = PIECE_BYTES
    text_characters: int = 200_000
    page_bytes: int = 48 * 2**20
    cells: int = 5_000
    outputs: int = 1_000
    seconds: float = 30.0


def amount(size: int) -> str:
    """Return a size in bytes as text: ``900 bytes``, ``48 KB``, ``13.3 MB``."""
    if size >= 10**6:
        return f"{size / 10**6:,.1f}".removesuffix(".0") + " MB"
    return f"{size / 1000:.0f} KB" if size >= 1000 else f"{size} bytes"

"""Sizes in messages and on pages."""

from __future__ import annotations

__all__ = ["amount"]


def amount(size: int) -> str:
    """Return a size in bytes as text: ``900 bytes``, ``48 KB``, ``13.3 MB``."""
    if size >= 10**6:
        return f"{size / 10**6:,.1f}".removesuffix(".0") + " MB"
    return f"{size / 1000:.0f} KB" if size >= 1000 else f"{size} bytes"

"""Durations in messages and logs."""

from __future__ import annotations

__all__ = ["in_words"]


def in_words(seconds: float) -> str:
    """Return a duration as text: ``0.4 s``, ``12 s``, ``3 min 12 s``, ``2 h 5 min``.

    Tenths are shown below 10 seconds, seconds below an hour.

    :param seconds: not negative.
    """
    if seconds < 59.5:
        return f"{seconds:.1f}".removesuffix(".0") + " s" if seconds < 9.95 else f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    parts = [(hours, "h"), (minutes, "min"), (rest if not hours else 0, "s")]
    return " ".join(f"{amount} {unit}" for amount, unit in parts if amount)

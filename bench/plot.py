"""Requests and CPU over the number of triggers, ours and the peer's, and CPU over the number of jobs that end."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("svg")
mpl.rcParams["svg.hashsalt"] = "bench"  # the same figures give the same file

from matplotlib import pyplot as plt  # noqa: E402 - it looks at the backend

_SHOWN = {"requests_per_minute": "requests / minute", "cpu_per_minute": "CPU seconds / minute"}
_WHOSE = (("ours", "airflow-nbjobs", "tab:blue"), ("vertex", "Vertex AI", "tab:orange"))
_STYLES = ((30.0, "-"), (5.0, ":"))


def plot(rows: list[dict[str, Any]], path: Path) -> None:
    """Draw the three plots; those over the number of triggers have logarithmic scales."""
    figure, axes = plt.subplots(1, 3, figsize=(13, 3.4), layout="constrained")
    for axis, (key, title) in zip(axes, _SHOWN.items(), strict=False):
        for side, name, color in _WHOSE:
            for interval, style in _STYLES:
                of_line = {"side": side, "interval": interval, "changes": None}
                if line := _line(rows, of_line, "count", key):
                    axis.loglog(*line, style, color=color, marker="o", label=f"{name}, {interval:g} s")
        axis.set_xlabel("waiting triggers")
        axis.set_title(title)
    for count, color in ((1_000, "tab:cyan"), (10_000, "tab:blue")):
        some = [row for row in rows if row["changes"] is not None]
        if line := _line(some, {"count": count}, "changes", "cpu_per_minute"):
            axes[2].plot(*line, color=color, marker="o", label=f"airflow-nbjobs, {count:,} wait")
    axes[2].set_ylim(bottom=0)
    axes[2].set_xlabel("jobs that end in a minute")
    axes[2].set_title(_SHOWN["cpu_per_minute"])
    for axis in axes:
        axis.grid(alpha=0.3)
    for axis in (axes[0], axes[2]):
        if axis.lines:
            axis.legend(fontsize=8)
    path.parent.mkdir(exist_ok=True)
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)


def _line(rows: list[dict[str, Any]], known: dict[str, Any], over: str, key: str) -> list[tuple[float, ...]]:
    """Return the x and y values of the rows that have the key."""
    points = sorted(
        (row[over], row[key]) for row in rows if known.items() <= {name: row[name] for name in known}.items()
    )
    return list(zip(*points, strict=True))

"""Requests and CPU over the number of triggers, ours and the peer's."""

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
    """Draw both over the number of triggers, in logarithmic scales."""
    figure, axes = plt.subplots(1, 2, figsize=(9, 3.4), layout="constrained")
    for axis, (key, title) in zip(axes, _SHOWN.items(), strict=True):
        for side, name, color in _WHOSE:
            for interval, style in _STYLES:
                line = sorted(
                    (row["count"], row[key]) for row in rows if (row["side"], row["interval"]) == (side, interval)
                )
                if line:
                    axis.loglog(
                        *zip(*line, strict=True), style, color=color, marker="o", label=f"{name}, {interval:g} s"
                    )
        axis.set_xlabel("waiting triggers")
        axis.set_title(title)
        axis.grid(alpha=0.3)
    axes[0].legend(fontsize=8)
    path.parent.mkdir(exist_ok=True)
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)

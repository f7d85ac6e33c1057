"""The measurements as a page that a person reads."""

from __future__ import annotations

import os
import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any

_PACKAGES = (
    "airflow-nbjobs",
    "apache-airflow",
    "apache-airflow-providers-google",
    "apache-airflow-providers-databricks",
    "google-cloud-aiplatform",
)
_INTRODUCTION = """\
# Benchmarks

Written by `make bench`. Each measurement is a process of its own; ours and our peers' take turns in one run. Compare
the columns, not the absolute times: those are the machine's.
"""
_IMPORTS = """
## Importing

Over `airflow.sdk` and `common.compat.sdk`, which every DAG file imports; triggers over `GoogleBaseHook` too. Medians of
five fresh processes each, after one that is not counted.

| modules | CPU s | MB | CPU, ours = 1 |
|---|---:|---:|---:|
"""
_WAITING = """
## Waiting

So many triggers in one process. "Vertex AI" is `CreateBatchPredictionJobTrigger` of the Google provider, which asks a
local gRPC server for its job in each interval, without TLS and without a token; ours asks our emulator over HTTP. Log
lines are off on both sides. A part of the jobs (100, and a tenth of the rest) end while they are waited for, spread
evenly. The longest turn of the event loop is in CPU time: while it goes on no other trigger gets its turn. The latency
is from the end of a job in the service's book to the trigger's event.

| triggers | interval s | whose | requests/min | CPU s/min | KB each | longest turn ms | latency s: median | p99 |
|---:|---:|---|---:|---:|---:|---:|---:|---:|
"""
_PLOT = """
![Requests a minute and CPU seconds a minute over the number of triggers](benchmarks.svg)
"""
_SUBMISSION = """
## Submitting a wave

{jobs} jobs by create tasks that begin at once, against a quota of 60 creates a minute: {seconds:.0f} s, where the quota
allows no less than {ideal_seconds:.0f} s. {failed} tasks failed, {twice} jobs were made twice; {creates_refused}
creates were refused by the quota and sent again, and {other_requests} other requests were sent.
"""


def describe_machine() -> dict[str, Any]:
    """Return what the figures depend on."""
    return {
        "machine": f"{os.cpu_count()} cores, {platform.platform()}, Python {platform.python_version()}",
        "load": os.getloadavg()[0],
        "versions": {package: version(package) for package in _PACKAGES},
    }


def write(results: dict[str, Any], folder: Path) -> None:
    """Write the page and its plot."""
    known = results["machine"]
    versions = ", ".join(f"{package} {number}" for package, number in known["versions"].items())
    text = f"{_INTRODUCTION}\n{known['machine']}; load {known['load']:.1f} at the end. {versions}.\n"
    if "imports" in results:
        text += _IMPORTS + "".join(_import_rows(results["imports"]))
    if "waiting" in results:
        _plot(results["waiting"], folder / "benchmarks.svg")
        text += _WAITING + "".join(map(_waiting_row, results["waiting"])) + _PLOT
    if "submission" in results:
        text += _SUBMISSION.format(**results["submission"])
    (folder / "benchmarks.md").write_text(text)


def _import_rows(found: dict[str, dict[str, float]]) -> list[str]:
    rows, ours = [], 0.0
    for case, cost in found.items():
        if case.startswith("ours"):  # each group begins with it
            ours = cost["cpu_seconds"]
        rows.append(f"| {case} | {cost['cpu_seconds']:.2f} | {cost['mb']:.1f} | {cost['cpu_seconds'] / ours:.0f} |\n")
    return rows


def _waiting_row(row: dict[str, Any]) -> str:
    whose = {"ours": "ours", "vertex": "Vertex AI"}[row["side"]]
    # One more of few is nothing against what the first one brings.
    each = f"{row['kb_per_waiter']:.1f}" if row["count"] >= 100 else ""
    late = [f"{row[key]:.1f}" if row[key] is not None else "" for key in ("latency_median", "latency_p99")]
    return (
        f"| {row['count']:,} | {row['interval']:g} | {whose} | {row['requests_per_minute']:.0f} | "
        f"{row['cpu_per_minute']:.2f} | {each} | {row['busy_ms']:.1f} | {late[0]} | {late[1]} |\n"
    )


def _plot(rows: list[dict[str, Any]], path: Path) -> None:
    import matplotlib as mpl

    mpl.use("svg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(1, 2, figsize=(9, 3.4), layout="constrained")
    shown = {"requests_per_minute": "requests / min", "cpu_per_minute": "CPU s / min"}
    for axis, (key, title) in zip(axes, shown.items(), strict=True):
        for side, name, color in (("ours", "airflow-nbjobs", "tab:blue"), ("vertex", "Vertex AI", "tab:orange")):
            for interval, style in ((30.0, "-"), (5.0, ":")):
                line = [(row["count"], row[key]) for row in rows if (row["side"], row["interval"]) == (side, interval)]
                if line:
                    counts, costs = zip(*line, strict=True)
                    axis.loglog(counts, costs, style, color=color, marker="o", label=f"{name}, {interval:g} s")
        axis.set_xlabel("waiting triggers")
        axis.set_title(title)
    axes[0].legend(fontsize=8)
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)

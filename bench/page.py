"""The measurements as a page that a person reads."""

from __future__ import annotations

import os
import platform
import subprocess
import textwrap
from importlib.metadata import version
from pathlib import Path
from typing import Any

from bench.goals import goals

_PACKAGES = (
    "airflow-nbjobs",
    "apache-airflow",
    "apache-airflow-providers-google",
    "apache-airflow-providers-databricks",
    "google-cloud-aiplatform",
)
_INTRODUCTION = """\
# What waiting costs, side by side

Written by `make bench`: {command}, at {commit}, in {minutes:.0f} minutes. {machine}; load {load:.1f} at the end.
{versions}.

Ours and the peers' are measured in one run, in turns, each in processes of its own. Compare the columns, not the
absolute times: those are the machine's.
"""
_GOALS = """
## Goals

| | goal | measured | met |
|---|---:|---:|---|
"""
_IMPORTS = """
## Importing

What a DAG file or a task pays over `airflow.sdk` and `common.compat.sdk`, which are there anyway; triggers over
`GoogleBaseHook` too. Medians of {rounds} fresh processes each, in turns, after one that is not counted.

| modules | CPU s | MB | CPU, ours = 1 |
|---|---:|---:|---:|
"""
_LIGHTER = """
{name} is lighter to import than ours: {theirs:.2f} s against {ours:.2f} s, which a triggerer pays once.
"""
_WAITING = """
## Waiting

So many triggers in one process. "Vertex AI" is `CreateBatchPredictionJobTrigger` of the Google provider, which asks a
local gRPC server for its job in each interval, without TLS, a token or a connection; ours asks our emulator over HTTP.
Log lines are off on both sides.

Each is **one run**, not five: requests and CPU are medians over its windows, each one interval long and at least five
of them, from the moment when the triggers come; "most" is the most in any minute, the first one included. Up to 100
triggers the processes of both sides wait at the same time, which is a small part of the machine's time; the others
run alone, in turns. Ten jobs and a tenth end while they are waited for, spread evenly (of ten or fewer: all, in the
last window). The latency is from the end of a job in the service's book to the trigger's event. The longest turn of
the event loop, in which no other trigger gets its turn, is in CPU time, and in brackets by the clock, with all that
the machine adds. What ours does every ten minutes is not in it: a page for each hundred jobs that nothing was heard of.

"""
_WAITING_COLUMNS = (
    *("triggers", "interval s", "whose", "requests/min", "most", "CPU s/min", "KB each", "longest turn ms"),
    *("latency s: median", "p99", "not noticed"),
)
_PLOT = """
![Requests a minute and CPU seconds a minute over the number of triggers](img/benchmarks.svg)
"""
_TRIGGERERS = """
## Real triggerers

`airflow triggerer` with PostgreSQL, Airflow's default settings and logs, and {count:,} deferred tasks at
{interval:g} s: their rows are written with Airflow's own models, as a thousand workers would have left them, and no
scheduler runs. The latency is to the task's row in the database. Medians of five windows of one run, from
{settled:g} s after the last trigger was taken up. A triggerer is two processes: one runs the triggers, and one speaks
to the database and keeps their logs. What both do for triggers that ask nobody, and end as often as the others, is
Airflow's own.

"""
_TRIGGERERS_COLUMNS = (
    *("whose", "requests/min", "CPU s/min: triggers", "the rest", "MB: triggers", "the rest"),
    *("latency s: median", "p99", "not noticed"),
)
_SHARED = """
Two triggerers share {count:,} tasks ({shares}), whose jobs end one after the other. After a minute, when {left} wait
there, one of the two is killed. {unnoticed} tasks are forgotten; the last one is told {last:.0f} s after the beginning.
The latency is {latency_median:.0f} s in the median and {latency_p99:.0f} s for 99 of 100: Airflow gives a triggerer up
after 30 s without a heartbeat. Both together sent at most {most_requests_in_a_minute} requests in a minute.
"""
_WORKERS = """
## What a task costs the workers

CPU seconds of its processes and of those that supervise them, for a job that runs {job_seconds:g} s and is looked at
every 5 s, the mean of {tasks} tasks of `NotebookExecutionJobSensor` in a real Airflow with LocalExecutor and
PostgreSQL:

| | CPU s | requests |
|---|---:|---:|
"""
_MODES = {
    "sync": "sync: one process, which holds its worker slot",
    "reschedule": "reschedule: a process for each look",
    "deferrable": "deferrable: two processes, and the triggerer",
}
_SUBMISSION = """
## Submitting a wave

{jobs} jobs by create tasks that begin at once, each with a client of its own, against a quota of 60 creates in any 60
seconds: {seconds:.0f} s. The quota itself lets the last one through after {ideal_seconds:.0f} s at best; at one a
second it is {even_seconds:.0f} s. {failed} tasks failed, {twice} jobs were made twice. {creates_refused} creates were
refused and sent again, {refused_each:.1f} for each job, and at most {most_creates_in_a_minute} were sent in a minute,
with those that were made; {other_requests} other requests were sent. What is refused comes back when the service
says, or later, spread over a minute.
"""


def describe_machine() -> dict[str, Any]:
    """Return what the figures depend on."""
    return {
        "machine": f"{os.cpu_count()} cores, {platform.platform()}, Python {platform.python_version()}",
        "load": os.getloadavg()[0],
        "versions": {package: version(package) for package in _PACKAGES},
        "commit": _commit(),
    }


def _commit() -> str:
    """Return the commit, and whether it is what was measured."""
    try:
        commit = subprocess.check_output(["git", "rev-parse", "--short", "HEAD"], text=True).strip()  # noqa: S607 - whichever git there is
        changed = subprocess.check_output(["git", "status", "--porcelain", "airflow_nbjobs", "bench"], text=True)  # noqa: S607 - as above
    except (OSError, subprocess.CalledProcessError):
        return "an unknown commit"
    return f"commit {commit}" + (" with changes" if changed else "")


def write(results: dict[str, Any], folder: Path) -> None:
    """Write the page and its plot; what was not measured is left out."""
    known = results["machine"]
    versions = ", ".join(f"{package} {number}" for package, number in known["versions"].items())
    text = _INTRODUCTION.format(**{**known, "versions": versions})
    text += _GOALS + "".join(goal.row() for goal in goals(results))
    if found := results.get("imports"):
        text += _import_part(found)
    if rows := results.get("waiting"):
        from bench.plot import plot

        plot(rows, folder / "img" / "benchmarks.svg")
        text += _WAITING + _head(_WAITING_COLUMNS) + "".join(map(_waiting_row, sorted(rows, key=_order))) + _PLOT
    if found := results.get("triggerers"):
        text += _triggerer_part(found)
    if found := results.get("workers"):
        text += _WORKERS.format(**found)
        for mode, name in _MODES.items():
            text += f"| {name} | {found[mode]['cpu_seconds']:.2f} | {found[mode]['looks']:.1f} |\n"
    if found := results.get("submission"):
        text += _SUBMISSION.format(**found, refused_each=found["creates_refused"] / found["jobs"])
    (folder / "benchmarks.md").write_text("\n\n".join(map(_filled, text.rstrip().split("\n\n"))) + "\n")


def _filled(block: str) -> str:
    """Break the lines of a paragraph anew, now that its numbers are in it."""
    return block if block.lstrip().startswith(("|", "#", "!")) else textwrap.fill(block, 120, break_on_hyphens=False)


def _import_part(found: dict[str, dict[str, float]]) -> str:
    text, ours, lighter = _IMPORTS.format(rounds=5), 0.0, ""
    for case, cost in found.items():
        seconds = cost["cpu_seconds"]
        if case.startswith("ours"):  # each group begins with it
            ours = seconds
        elif seconds < ours:
            lighter += _LIGHTER.format(name=case.replace(": ", "'s ").rstrip("s"), theirs=seconds, ours=ours)
        text += f"| {case} | {seconds:.2f} | {cost['mb']:.1f} | {seconds / ours:.1f} |\n"
    return text + lighter


def _head(columns: tuple[str, ...]) -> str:
    rule = ["---" if column == "whose" else "---:" for column in columns]
    return f"| {' | '.join(columns)} |\n| {' | '.join(rule)} |\n"


def _order(row: dict[str, Any]) -> tuple[Any, ...]:
    return row["count"], -row["interval"], row["side"]


def _waiting_row(row: dict[str, Any]) -> str:
    # One more of few is nothing against what the first one brings.
    each = f"{row['kb_per_waiter']:.1f}" if row["count"] >= 100 else ""
    return (
        f"| {row['count']:,} | {row['interval']:g} | {_WHOSE[row['side']]} | {row['requests_per_minute']:,.0f} | "
        f"{row['most_requests_in_a_minute']:,} | {row['cpu_per_minute']:.2f} | {each} | "
        f"{row['busy_ms']:.1f} ({row['blocked_ms']:.0f}) | {_lateness(row)} |\n"
    )


_WHOSE = {"ours": "ours", "vertex": "Vertex AI", "nothing": "triggers that ask nobody"}


def _lateness(row: dict[str, Any]) -> str:
    if not row["ended"]:
        return "| | "
    late = [f"{row[key]:.1f}" if row[key] is not None else "" for key in ("latency_median", "latency_p99")]
    return f"{late[0]} | {late[1]} | {row['unnoticed']} of {row['ended']}"


def _triggerer_part(found: dict[str, Any]) -> str:
    text = ""
    for side in ("ours", "vertex", "nothing"):
        if row := found.get(side):
            text = text or _TRIGGERERS.format(**row) + _head(_TRIGGERERS_COLUMNS)
            text += (
                f"| {_WHOSE[side]} | {row['requests_per_minute']:,.0f} | {row['cpu_per_minute']:.2f} | "
                f"{row['supervisor_cpu_per_minute']:.2f} | {row['mb']:.0f} | {row['supervisor_mb']:.0f} | "
                f"{_lateness(row)} |\n"
            )
    if shared := found.get("shared"):
        shares = " and ".join(f"{share:,}" for share in shared["shares"])
        left = " and ".join(f"{count:,}" for count in shared["left_at_the_kill"])
        text += _SHARED.format(
            **{**shared, "shares": shares, "last": shared["seconds_to_the_last"] or 0.0, "left": left}
        )
    return text

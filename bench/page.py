"""The measurements as a page that a person reads."""

from __future__ import annotations

import os
import platform
import subprocess
import textwrap
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

from bench import tables
from bench.goals import cpu_over_the_peers, goals
from bench.measure import ROUNDS
from bench.services import LATER

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

Ours and the peers' are measured in one run, in turns or at the same time, each in processes of its own. Everything is
measured {rounds} times, and what is told is the median, with the least and the most in brackets where they differ; of
a most it is the most of all, and what is to happen never is added up. Compare the columns, not the absolute times:
those are the machine's.
"""
_GOALS = """
## Goals

| | goal | measured | met |
|---|---:|---:|---|
"""
_IMPORTS = """
## Importing

What a DAG file or a task pays over `airflow.sdk` and `common.compat.sdk`, which are there anyway; triggers over
`GoogleBaseHook` too. Fresh processes, in turns, after one of each that is not counted.

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
Log lines are off on both sides. The provider's triggers for custom jobs and pipelines ask in each interval in the same
way; the one for pipelines makes a new client for each look, so that it costs more than what is measured here.

In each run, with new processes and a service for each of them, ours and the peer wait at the same time, and so do all
rows but those of a thousand at 5 s and of 10,000, which have a time of their own; a run begins before the last one is
over. Each is a small part of the machine's time. "First minute"
begins when the triggers come; the columns before it are of the minute that follows (with 1,000 at 5 s half a minute,
and with 10,000 of the peer's after two). "Most in any" is the most in any minute, read every 5 s, the first one
included. Ten jobs and a tenth end while they are waited for, spread evenly (of ten or fewer: all, in the last
interval). The last ten jobs of ours are made {later:g} s after the others, which are there within seconds.

The peer with 10,000 triggers at 5 s is left out: these would be 120,000 requests a minute, and one core, which is all
that a process of Python's has, is enough for some {peers_most:,.0f}, by what a thousand take. What ours does every ten
minutes is not in it: a page for each hundred jobs that nothing was heard of.

"""
_DELAYS = """
The latency is from the end of a job in the service's book to the trigger's event. During the longest turn of the event
loop no other trigger gets its turn; it is in CPU time, and by the clock with all that the machine adds. It is told less
what Python's garbage collector took in it, too: a full collection visits every object of the process, and so lasts
longer with everything that waits in it, whoever has begun it.

"""
_CHANGES = """
What waiting costs grows with the jobs that change, not with those that wait. Ours at 30 s, in the minute after the one
in which the triggers come; all these rows wait at the same time:

"""
_PLOT = """
![Requests and CPU seconds a minute over the triggers, and CPU over the jobs that end](img/benchmarks.svg)
"""
_TRIGGERERS = """
## Real triggerers

`airflow triggerer` with PostgreSQL, Airflow's default settings and logs, and {count:,} deferred tasks at
{interval:g} s: their rows are written with Airflow's own models, as a thousand workers would have left them, and no
scheduler runs. The latency is to the task's row in the database. New triggerers of all rows run at the same time, with
a database each, and are measured for a minute from {settled:g} s after the last trigger was taken up.

"""
_RECKONED = """
A triggerer is two processes: one runs the triggers, and "the rest" speaks to the database and keeps their logs. What
both do for triggers that ask nobody, and end as often as the others, is Airflow's own floor, which no provider gets
under. It is lower where many are told at the same time, as ours are in each round, than where one is told after the
other, as the peer's are: the last row ends every 7.5 s what is over by then, which is how often ours asks while jobs
end. Our CPU over the peer's is {in all:.3f} with the floor, {over the base:.3f} less each side's own, and
{triggers:.3f} in the process that runs the triggers, floor and all. The peer's trigger logs a line at level INFO each
time that it asks, which "the rest" writes; ours logs what changes.
"""
_SHARED = """
Two triggerers with a budget of {budget} requests a minute each share {count:,} tasks ({shares} in the first run), whose
jobs end one after the other. After a minute, when {left} wait there, one of the two is killed. Of the {ended:,} tasks
of all runs, which go on at the same time, {unnoticed} are forgotten; the last one of a run is told {last:.0f} s after
the beginning. The latency is {latency_median:.0f} s in the median and {latency_p99:.0f} s for 99 of 100: Airflow gives
a triggerer up after 30 s without a heartbeat. Both together sent at most {most_before_the_kill} requests in a minute,
and the one that was left at most {most_after_the_kill}.
"""
_WORKERS = """
## What a task costs the workers

CPU seconds of its processes and of those that supervise them, for a job that runs {job_seconds:g} s and is looked at
every 10 s: the mean of {tasks} tasks in a real Airflow with LocalExecutor and PostgreSQL, and how many of all of them
Airflow itself retried, since it took a process that had handed its task back for one that had died. Nobody reads the
executed notebook, which a simulated job does not leave. Requests are those beside a create. "Vertex AI" is the
provider's `CreateBatchPredictionJobOperator`, deferrable, for a job that is there already: its module is imported, and
its code runs up to the deferral and after it, but no create is sent and no client made for it.

"""
_MODES = {
    "sensor_sync": "sensor, sync: one process, which holds its worker slot",
    "sensor_reschedule": "sensor, reschedule: a process for each look",
    "sensor_deferrable": "sensor, deferrable: two processes, and the triggerer",
    "create_sync": "create, sync",
    "create_deferrable": "create, deferrable",
    "vertex": "Vertex AI, deferrable, without the create",
}
_SUBMISSION = """
## Submitting a wave

{jobs} jobs by create tasks that begin at once, each with a client of its own, against a quota of 60 creates in any 60
seconds: {seconds:.0f} s. At one a second, the ideal, it is {even_seconds:.0f} s; this is {times:.2f} times as long.
(The quota itself, all used at the beginning of each minute, would let the last one through after {ideal_seconds:.0f}
s.) Of the tasks of all runs, which begin one after the other and each have a service of their own, {failed} failed, and
{twice} jobs were made twice. {creates_refused:.0f} creates of a run were refused and sent again, {refused_each:.1f} for
each job, and at most {most_creates_in_a_minute} were sent in a minute, with those that were made; {other_requests:.0f}
other requests were sent. What is refused comes back when the service says, or later, spread over a minute.
"""

_EMULATOR = """
## The emulator

One client creates {count:,} simulated jobs, one after the other, over HTTP: {creates_a_second_at_first:.0f} a second at
first and {creates_a_second_at_last:.0f} at last. A page of 100 of them, those that changed last first, then takes
{page_ms:.1f} ms in the median and {page_ms_p99:.1f} ms for 99 of 100, client and all, and the process, which is both,
{mb:.0f} MB.
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
    text = _INTRODUCTION.format(**{**known, "versions": versions, "rounds": ROUNDS})
    text += _GOALS + "".join(goal.row() for goal in goals(results))
    parts: dict[str, Callable[[Any], str]] = {
        "imports": _import_part,
        "waiting": lambda rows: _waiting_part(rows, folder),
        "triggerers": _triggerer_part,
        "shared": _shared_part,
        "workers": _worker_part,
        "submission": _submission_part,
        "emulator": lambda found: _EMULATOR.format(**found),
    }
    text += "".join(part(results[name]) for name, part in parts.items() if results.get(name))
    (folder / "benchmarks.md").write_text("\n\n".join(map(_filled, text.rstrip().split("\n\n"))) + "\n")


def _filled(block: str) -> str:
    """Break the lines of a paragraph anew, now that its numbers are in it."""
    return block if block.lstrip().startswith(("|", "#", "!")) else textwrap.fill(block, 120, break_on_hyphens=False)


def _import_part(found: dict[str, dict[str, float]]) -> str:
    text, ours, lighter = _IMPORTS, 0.0, ""
    for case, cost in found.items():
        seconds = cost["cpu_seconds"]
        if case.startswith("ours"):  # each group begins with it
            ours = seconds
        elif seconds < ours:
            lighter += _LIGHTER.format(name=case.replace(": ", "'s ").rstrip("s"), theirs=seconds, ours=ours)
        text += f"| {case} | {seconds:.2f} | {cost['mb']:.1f} | {seconds / ours:.1f} |\n"
    return text + lighter


def _waiting_part(rows: list[dict[str, Any]], folder: Path) -> str:
    from bench.plot import plot

    plot(rows, folder / "img" / "benchmarks.svg")
    peer = next(row for row in reversed(rows) if (row["side"], row["count"]) == ("vertex", 1_000))
    peers_most = round(60 * peer["requests_per_minute"] / peer["cpu_per_minute"], -4)
    text = _WAITING.format(peers_most=peers_most, later=LATER)
    text += tables.waiting_costs(rows) + _DELAYS + tables.waiting_delays(rows)
    if any(row["changes"] is not None for row in rows):
        text += _CHANGES + tables.changes(rows)
    return text + _PLOT


def _triggerer_part(found: dict[str, Any]) -> str:
    return (
        _TRIGGERERS.format(**found["ours"]) + tables.triggerers(found) + _RECKONED.format(**cpu_over_the_peers(found))
    )


def _shared_part(found: dict[str, Any]) -> str:
    shares = " and ".join(f"{share:,}" for share in found["shares"])
    left = " and ".join(f"{count:,}" for count in found["left_at_the_kill"])
    return _SHARED.format(**{**found, "shares": shares, "last": found["seconds_to_the_last"] or 0.0, "left": left})


def _worker_part(found: dict[str, Any]) -> str:
    ours = found["create_deferrable"]
    return _WORKERS.format(**found) + tables.table(
        ("", "CPU s", "create, deferrable = 1", "requests", "retried"),
        (
            (
                name,
                tables.spread(found[mode], "cpu_seconds", 2),
                tables.ratio(found[mode], ours, "cpu_seconds"),
                tables.spread(found[mode], "looks", 1),
                f"{found[mode]['retried']}",
            )
            for mode, name in _MODES.items()
        ),
    )


def _submission_part(found: dict[str, Any]) -> str:
    return _SUBMISSION.format(
        **found,
        times=found["seconds"] / found["even_seconds"],
        refused_each=found["creates_refused"] / found["jobs"],
    )

"""The page with the measurements."""

from __future__ import annotations

import contextlib
import os
import platform
import subprocess
import textwrap
from collections.abc import Callable, Iterator
from importlib.metadata import PackageNotFoundError, version
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
# The cost of waiting, compared with other providers

Written by `make bench`: {command}, at {commit}, in {minutes:.0f} minutes. {machine}; load {load:.1f} at the end.
{versions}.

This package ("ours") and the peers are measured in one run, in turns or at the same time, in separate processes.
Everything is measured {rounds} times. The tables have the median, and in brackets minimum and maximum if they differ.
Maxima are taken over all runs, and events that should never happen are summed. Compare the columns, not the absolute
times, which depend on the machine.
"""
_LATER = """
Measured later: {parts}.
"""
_GOALS = """
## Goals

| | goal | measured | met |
|---|---:|---:|---|
"""
_IMPORTS = """
## Importing

The cost for a DAG file or a task in addition to `airflow.sdk` and `common.compat.sdk`, which it imports anyway; for
triggers in addition to `GoogleBaseHook` too. New processes, in turns, after one of each that is not counted.

| modules | CPU s | MB | CPU, ours = 1 |
|---|---:|---:|---:|
"""
_LIGHTER = """
{name} needs less time to import than ours: {theirs:.2f} s instead of {ours:.2f} s, once for each triggerer.
"""
_COMMAND_LINE = """
## One notebook from the command line

A notebook of two small cells, run by papermill, by `nbjobs run` on an emulator that is running, and with `--local`,
which starts an emulator and ends it. New processes, in turns, after one of each that is not counted. CPU seconds are
those of the command and of the processes that it has started: for papermill and `--local` they include the kernel, and
for a running emulator they do not. papermill loads gcsfs and pyarrow where they are installed, as the Google provider
does; "alone" is papermill without them. Ratios are of the same round.

"""
_SIDES = {
    "papermill": "papermill",
    "papermill alone": "papermill, alone",
    "run": "`nbjobs run` on a running emulator",
    "local": "`nbjobs run --local`",
}
_NOTEBOOK_TAB = """
## The notebook tab

The time from opening the tab in Chromium until it paints the first content of the notebook, with a real API server. In
turns, `nbconvert --to html` renders the same file, and Chromium opens what it wrote; both times together are
"nbconvert". "1 MB" has 300 code cells; "50 MB" has 5,000 and a picture of 10 MB. The first view reads the job and the
notebook from the emulator and renders it in a separate process. The next ones read the job, and the page from the
disk. Ratios are of the same round. Rounds of this part: {runs}.

"""
_MEMORY = """
The API server needs {before:.0f} MB before and {after:.0f} MB after 100 more views, every tenth of a new notebook of
1 MB.
"""
_WAITING = """
## Waiting

The triggers of a row run in one process. "Vertex AI" is `CreateBatchPredictionJobTrigger` of the Google provider. It
sends a request for its job to a local gRPC server in each interval, without TLS, a token or a connection; ours sends
requests to our emulator over HTTP. Log lines are off on both sides. The provider's triggers for custom jobs and
pipelines work in the same way; the one for pipelines creates a client for each request, and costs more.

Each run has new processes, and a service for each process. Ours and the peer wait at the same time, and so do all rows
except those of 1,000 triggers at 5 s and of 10,000, which are measured separately. A run starts before the one before
it has ended; each uses a small part of the machine. "First minute" starts when the triggers start. The columns before
it are about the next minute (for 1,000 at 5 s half a minute; for the peer's 10,000 after two minutes). "Most in any" is
the maximum in any minute, read every 5 s, including the first. Ten jobs and a tenth of all end during the wait, evenly
spread (of ten or fewer: all, in the last interval). The last ten of our jobs are created {later:g} s after the others.

The peer with 10,000 triggers at 5 s is left out: it would send 120,000 requests per minute, but one core, the limit of
a Python process, is enough for about {peers_most:,.0f}, judging by 1,000 triggers. Not included is what ours does every
ten minutes: one page for each hundred jobs without news.

"""
_DELAYS = """
The latency is the time from the end of a job in the service to the trigger's event. During the longest turn of the
event loop no other trigger runs. It is given in CPU time, in CPU time without Python's garbage collections, and by the
clock. A full collection visits all objects of the process, and takes longer the more tasks wait.

"""
_CHANGES = """
The cost of waiting grows with the number of jobs that change, not with the number of waiting tasks. Ours at 30 s, in
the minute after the triggers have started; all these rows wait at the same time:

"""
_PLOT = """
![Requests and CPU seconds per minute over the triggers, and CPU over the jobs that end](img/benchmarks.svg)
"""
_WATCHERS = """
Event triggers that watch beside 1,000 triggers at 30 s, in the same process; 700 jobs end in eleven minutes. A
watcher is interested in all of them. Both rows wait at the same time:

"""
_TRIGGERERS = """
## Real triggerers

`airflow triggerer` with PostgreSQL, Airflow's default settings and logs, and {count:,} deferred tasks at
{interval:g} s. The tasks are written into the database with Airflow's own models, as workers would leave them; no
scheduler runs. The latency is measured up to the change of the task in the database. New triggerers of all rows run at
the same time, each with its own database. They are measured for a minute, from {settled:g} s after the last trigger has
started.

"""
_CPU_RATIOS = """
A triggerer has two processes: one runs the triggers, and "the rest" uses the database and writes the logs. What both
need for triggers that send no requests, and end as often as the others, is Airflow's own base cost. It is lower if many
triggers end at the same time, as ours do in each round, than if they end one after the other, as the peer's do. In the
last row, triggers end every 7.5 s, which is how often ours sends requests while jobs end. The ratio of our CPU to the
peer's is {in all:.3f} including the base cost, {over the base:.3f} without it, and {triggers:.3f} in the process that
runs the triggers, including the base cost. The peer's trigger logs a line at level INFO for each request, which "the
rest" writes; ours logs changes.
"""
_SHARED = """
Two triggerers with a budget of {budget} requests per minute each share {count:,} tasks ({shares} in the first run),
whose jobs end one after the other. After a minute, when {left} tasks still wait, one of the two is killed. Of the
{ended:,} tasks of all runs, which run at the same time, {unnoticed} are forgotten; the last task of a run is resumed
{last:.0f} s after the start. The latency is {latency_median:.0f} s in the median and {latency_p99:.0f} s for 99 of 100:
Airflow gives up a triggerer after 30 s without a heartbeat. Both together sent at most {most_before_the_kill} requests
in a minute, and the remaining one at most {most_after_the_kill}.
"""
_WORKERS = """
## The cost of a task for the workers

CPU seconds of the task's processes and their supervisors, for a job that runs {job_seconds:g} s and is polled every
10 s: the mean of {tasks} tasks in a real Airflow with LocalExecutor and PostgreSQL. "Retried" is how many of all tasks
Airflow retried, since it took a process that had deferred for a dead one. The executed notebook is not read, since a
simulated job has none. Requests do not include the create. "Vertex AI" is the provider's
`CreateBatchPredictionJobOperator`, deferrable, for a job that exists already: its module is imported, and its code runs
before and after the deferral, but it sends no create and creates no client.

"""
_MODES = {
    "sensor_sync": "sensor, sync: one process, which keeps its worker slot",
    "sensor_reschedule": "sensor, reschedule: a process for each poke",
    "sensor_deferrable": "sensor, deferrable: two processes and the triggerer",
    "create_sync": "create, sync",
    "create_deferrable": "create, deferrable",
    "vertex": "Vertex AI, deferrable, without the create",
}
_SUBMISSION = """
## Submitting a wave

{jobs} create tasks start at once, each with its own client, with a quota of 60 create requests in any 60 seconds: they
take {seconds:.0f} s. At the ideal rate of one per second it would be {even_seconds:.0f} s; this is {times:.2f} times as
long. (If the quota were used up at the start of each minute, the last request would pass after {ideal_seconds:.0f} s.)
Of the tasks of all runs, which run one after the other with a new service each, {failed} failed, and {twice} jobs were
created twice. In a run, {creates_refused:.0f} create requests were refused and sent again, {refused_each:.1f} for each
job. At most {most_creates_in_a_minute} were sent in a minute, including the successful ones, and {other_requests:.0f}
other requests. A refused request is sent again after the time that the service asks for, or later, spread over a
minute.
"""

_EMULATOR = """
## The emulator

One client creates {count:,} simulated jobs, one after the other, over HTTP: {creates_a_second_at_first:.0f} per second
at the start and {creates_a_second_at_last:.0f} at the end. A page of 100 jobs, the last changed first, then takes
{page_ms:.1f} ms in the median and {page_ms_p99:.1f} ms for 99 of 100, including the client. The process, which contains
client and emulator, needs {mb:.0f} MB.
"""
_RENDERING = """
## Executed notebooks as HTML

The time from an executed notebook to its safe HTML document, in a new process, as the API server renders it when a
notebook is looked at for the first time; and `nbconvert --to html`, which does not sanitize. In turns: {rounds}. On our
page an output over 4 MiB, such as the picture of 10 MB, is a note with its size.

"""


def describe_machine() -> dict[str, Any]:
    """Return a description of the machine, the versions and the commit."""
    return {
        "machine": f"{os.cpu_count()} cores, {platform.platform()}, Python {platform.python_version()}",
        "load": os.getloadavg()[0],
        "versions": dict(_versions()),
        "commit": _commit(),
    }


def _versions() -> Iterator[tuple[str, str]]:
    """Return the versions of the packages that are installed: some parts need no peers."""
    for package in _PACKAGES:
        with contextlib.suppress(PackageNotFoundError):
            yield package, version(package)


def _commit() -> str:
    """Return the commit, and whether files differ from it."""
    try:
        commit = subprocess.check_output(["git", "rev-parse", "--short", "HEAD"], text=True).strip()  # noqa: S607 - git
        changed = subprocess.check_output(["git", "status", "--porcelain", "airflow_nbjobs", "bench"], text=True)  # noqa: S607 - as above
    except (OSError, subprocess.CalledProcessError):
        return "an unknown commit"
    return f"commit {commit}" + (" with changes" if changed else "")


def write(results: dict[str, Any], folder: Path) -> None:
    """Write the page and its plot; parts that were not measured are left out."""
    known = results["machine"]
    versions = ", ".join(f"{package} {number}" for package, number in known["versions"].items())
    text = _INTRODUCTION.format(**{**known, "versions": versions, "rounds": ROUNDS})
    if later := results.get("later"):
        parts_of = (
            f"{part} by {run_of['command']} at {run_of['commit']}, load {run_of['load']:.1f}"
            for part, run_of in later.items()
        )
        text += _LATER.format(parts="; ".join(parts_of))
    text += _GOALS + "".join(goal.row() for goal in goals(results))
    parts: dict[str, Callable[[Any], str]] = {
        "imports": _import_part,
        "command_line": _command_line_part,
        "notebook_tab": _notebook_tab_part,
        "waiting": lambda rows: _waiting_part(rows, folder),
        "watchers": lambda rows: _WATCHERS + tables.watchers(rows),
        "triggerers": _triggerer_part,
        "shared": _shared_part,
        "workers": _worker_part,
        "submission": _submission_part,
        "emulator": lambda found: _EMULATOR.format(**found),
        "rendering": _rendering_part,
    }
    text += "".join(part(results[name]) for name, part in parts.items() if results.get(name))
    (folder / "benchmarks.md").write_text("\n\n".join(map(_filled, text.rstrip().split("\n\n"))) + "\n")


def _filled(block: str) -> str:
    """Wrap a paragraph again, with its numbers."""
    return block if block.lstrip().startswith(("|", "#", "!")) else textwrap.fill(block, 120, break_on_hyphens=False)


def _import_part(found: dict[str, dict[str, float]]) -> str:
    text, ours, lighter = _IMPORTS, 0.0, ""
    for case, cost in found.items():
        seconds = cost["cpu_seconds"]
        if case.startswith("ours"):  # the first of each group
            ours = seconds
        elif seconds < ours:
            lighter += _LIGHTER.format(name=case.replace(": ", "'s ").rstrip("s"), theirs=seconds, ours=ours)
        text += f"| {case} | {seconds:.2f} | {cost['mb']:.1f} | {seconds / ours:.1f} |\n"
    return text + lighter


def _rendering_part(rows: list[dict[str, Any]]) -> str:
    names = ("notebook", "whose", "CPU s", "s", "MB of memory", "MB of HTML", "nbconvert = 1: CPU", "time")
    rounds = ", ".join(f"{row['what']} {row['runs']} times".replace(" 1 times", " once") for row in rows)
    return _RENDERING.format(rounds=rounds) + tables.table(
        names,
        (
            (
                row["what"],
                {"our": "ours", "their": "nbconvert"}[whose],
                tables.spread(row, f"{whose}_cpu_seconds", 1),
                tables.spread(row, f"{whose}_seconds", 1),
                tables.spread(row, f"{whose}_mb"),
                f"{row[f'{whose}_html'] / 1e6:.1f}",
                *(
                    (tables.spread(row, f"ratio_{key}", 2) for key in ("cpu_seconds", "seconds"))
                    if whose == "our"
                    else ("", "")
                ),
            )
            for row in rows
            for whose in ("our", "their")
        ),
    )


def _notebook_tab_part(found: dict[str, Any]) -> str:
    return (
        _NOTEBOOK_TAB.format(runs=found["50 MB"]["runs"])
        + tables.table(
            ("", "MB", "nbconvert s", "first view s", "cached s", "nbconvert = 1: first", "cached"),
            (
                (
                    size,
                    tables.spread(found[size], "mb", 1),
                    *(tables.spread(found[size], name, 2) for name in ("nbconvert", "first", "cached")),
                    *(tables.spread(found[size], name, 3) for name in ("first_over", "cached_over")),
                )
                for size in ("1 MB", "50 MB")
            ),
        )
        + _MEMORY.format(**found["memory"])
    )


def _command_line_part(found: dict[str, dict[str, Any]]) -> str:
    return _COMMAND_LINE + tables.table(
        ("", "CPU s", "s", "papermill = 1: CPU", "time"),
        (
            (
                name,
                tables.spread(found[side], "cpu_seconds", 2),
                tables.spread(found[side], "seconds", 2),
                tables.spread(found[side], "cpu_seconds_over", 2),
                tables.spread(found[side], "seconds_over", 2),
            )
            for side, name in _SIDES.items()
        ),
    )


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
        _TRIGGERERS.format(**found["ours"]) + tables.triggerers(found) + _CPU_RATIOS.format(**cpu_over_the_peers(found))
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

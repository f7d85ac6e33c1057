"""The page with the results."""

from __future__ import annotations

import os
import platform
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any

from sizing.nodes import SETTINGS

BAD = ("twice", "left", "lost")
"""What no trial may have."""

_TEXT = """\
# Sizes of an Airflow with two of each node

`make sizing`, {day}, commit `{commit}`, {minutes:.0f} minutes; {versions}, {system} with {cores} cores, which other
programs used too (load average {load[0]:.0f} at the start, {load[1]:.0f} at the end).

Two schedulers, two workers with four slots each, two triggerers, an API server with one process and a DAG processor
run with CeleryExecutor on one machine, as processes that can be killed. A worker loads the package and the Google
provider before its first task. The service is the emulator: a job takes 20 s and executes nothing. Other machines,
networks and the real service are not measured. Other settings than Airflow's defaults: {settings}.

## Waiting

The tasks are written into the database as workers would leave them. Their jobs run on, and are polled every 30 s. All
requests of a minute are counted. A triggerer has two processes. Memory is their proportional set size: what n processes
share counts as an nth for each.

{waited}

These tasks keep waiting during all that follows. At the end, all their jobs ended within a minute, and
**{forgotten} of the tasks missed it**.

## A wave

Mapped tasks start all at once. A few of the requests are those of the tasks above, which still wait. Seconds count from
the end of a task's job.

{wave}

The most memory of each node in MB, counted as above: {memory}.

## Kills

Each trial has {each} mapped tasks with 8 retries (5 s, doubling up to a minute). The fault comes as soon as a third of
the jobs exists. The next trial begins while tasks of the earlier ones still recover. *Retried* counts tasks that used a
retry. *Twice* counts second jobs that ran a cell although the first had neither failed nor been ended. *Left* counts
jobs that still run when their task is over. *Lost* counts tasks without the result of a job that succeeded. Processes
that end are started again.

{trials}

**In all: {sums}.** Processes that ended by themselves and were started again: {deaths}.
"""


def page(found: dict[str, Any]) -> str:
    """Return the page."""
    wave = dict(found["wave"])
    packages = {"Airflow": "apache-airflow", "Google provider": "apache-airflow-providers-google", "Celery": "celery"}
    versions = [f"{name} {version(package)}" for name, package in packages.items()]
    sums = {what: sum(row[what] for row in found["trials"]) for what in ("tasks", "jobs", *BAD)}
    values = {
        "day": f"{datetime.now(UTC):%Y-%m-%d}",
        "versions": ", ".join([*versions, found["servers"], f"Python {platform.python_version()}"]),
        "system": platform.system(),
        "cores": os.cpu_count(),
        "settings": ", ".join(f"`{name.replace('__', '.').lower()}={value}`" for name, value in SETTINGS.items()),
        "waited": _table(found["waited"]),
        "memory": wave.pop("memory"),
        "wave": _table([wave]),
        "each": found["trials"][0]["tasks"],
        "trials": _table(found["trials"]),
        "sums": ", ".join(f"{count} {what}" for what, count in sums.items()),
        "deaths": ", ".join(f"{name} {count}" for name, count in sorted(Counter(found["deaths"]).items())) or "none",
    }
    return _TEXT.format(**{**found, **values})


def _table(rows: Sequence[dict[str, Any]]) -> str:
    lines = [list(rows[0]), ["---"] * len(rows[0]), *(row.values() for row in rows)]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)

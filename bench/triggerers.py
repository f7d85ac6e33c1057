"""Real triggerer processes, and a thousand deferred tasks in the metadata database."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import psutil  # type: ignore[import-untyped]  # it has no types of its own
import sqlalchemy

from bench.services import SERVICES, Service, ours
from bench.waiting import Case, lateness, most_in_a_minute
from chaos.postgres import postgres
from demo.airflow_processes import COMPONENTS, START_SECONDS, LocalAirflow

ROOT = Path(__file__).resolve().parent.parent
COUNT, INTERVAL = 1_000, 30.0
FIRST_SECONDS = 15.0
"""So long after the last trigger was taken up nothing is counted: it looks for the first time."""

KILL_AFTER, ALL_OVER_AFTER, NOTICED_AFTER = 60.0, 110.0, 210.0
"""Seconds after which a triggerer is killed, the last job is over, and nothing more is waited for."""


class Triggerers(LocalAirflow):
    """An Airflow of nothing but a database and triggerers.

    :param folder: an empty or missing one.
    :param database: its address.
    :param env: what points the triggers at their service.
    """

    def __init__(self, folder: Path, database: str, env: Mapping[str, str]) -> None:
        super().__init__(folder, ROOT / "bench" / "dags", {**env, "PYTHONPATH": str(ROOT)}, database)
        self._database = sqlalchemy.create_engine(database)

    def start(self) -> None:
        """Make the database; triggerers are started by :meth:`start_component` and :meth:`start_another`."""
        self.home.mkdir(parents=True, exist_ok=True)
        self._spawn("database", ["db", "migrate"]).wait(START_SECONDS)
        self._check("database", may_end=True)
        del self._processes["database"]

    def stop(self) -> None:
        """Stop what runs, and leave the database."""
        super().stop()
        self._database.dispose()

    def start_another(self) -> None:
        """Start a second triggerer."""
        self._spawn("another", COMPONENTS["triggerer"])

    def defer(self, run_id: str, jobs: list[dict[str, Any]]) -> None:
        """Make a deferred task for each job."""
        triggers = [{**job, "kwargs": {**job["kwargs"], "poll_interval": INTERVAL}} for job in jobs]
        plan = self.home / f"{run_id}.json"
        plan.write_text(json.dumps(triggers))
        call = [sys.executable, "-m", "bench.deferred", run_id, str(plan)]
        subprocess.run(call, env=self._env, cwd=self.home, check=True, stdout=subprocess.DEVNULL)  # noqa: S603 - our own

    def owners(self) -> dict[int | None, int]:
        """Return how many triggers each triggerer has taken up; ``None`` is nobody."""
        rows = self._ask("SELECT triggerer_id, count(*) FROM trigger GROUP BY triggerer_id")
        return dict(rows)

    def told(self, run_id: str) -> dict[int, float]:
        """Return when which tasks, by their map index, were told that their job is over."""
        rows = self._ask(
            "SELECT map_index, EXTRACT(EPOCH FROM scheduled_dttm), CAST(next_kwargs AS text) FROM task_instance"
            " WHERE run_id = :run AND state = 'scheduled'",
            run=run_id,
        )
        return {index: float(moment) for index, moment, kwargs in rows if _is_good(kwargs)}

    def _ask(self, sql: str, **known: str) -> list[Any]:
        with self._database.connect() as connection:
            return list(map(tuple, connection.execute(sqlalchemy.text(sql), known)))

    def wait_until_taken(self) -> None:
        """Wait until no trigger is nobody's."""
        self.wait(lambda: set(self.owners()) and None not in self.owners(), 300, "all triggers to be taken up")


def _is_good(kwargs: str) -> bool:
    return "JOB_STATE_SUCCEEDED" in kwargs or "success" in kwargs


@contextmanager
def database() -> Iterator[str]:
    """Start a PostgreSQL: two triggerers at once are more than SQLite bears."""
    with postgres() as address:
        yield address


def measure(side: str, address: str, *, windows: int = 5, count: int = COUNT) -> dict[str, Any]:
    """Let one triggerer wait, and return what its processes cost."""
    with SERVICES[side]() as service, tempfile.TemporaryDirectory() as folder:
        jobs = service.jobs(count)
        with Triggerers(Path(folder), address, service.env) as airflow:
            run_id = f"{side}-{time.time_ns()}"
            airflow.defer(run_id, jobs)
            airflow.start_component("triggerer")
            began = time.monotonic()
            airflow.wait_until_taken()
            taken = time.monotonic() - began
            time.sleep(FIRST_SECONDS)
            case = Case(side, count, INTERVAL)
            begun = time.time()
            service.end({jobs[index]["id"]: begun + seconds * windows / case.windows for index, seconds in case.ends()})
            cost = _cost(airflow.pid("triggerer"), service, windows)
            time.sleep(1.2 * INTERVAL)
            events = {jobs[index]["id"]: moment for index, moment in airflow.told(run_id).items()}
        late = lateness(events, service.ended())
    return {
        "side": side,
        "count": count,
        "interval": INTERVAL,
        "settled": FIRST_SECONDS,
        "taken_seconds": taken,
        **cost,
        **late,
    }


def _cost(pid: int, service: Service, windows: int) -> dict[str, Any]:
    """Measure the triggerer and the process that runs its triggers, for so many intervals."""
    triggerer = psutil.Process(pid)
    (runner,) = triggerer.children()
    counts, times = [service.requests()], [[_cpu(runner), _cpu(triggerer)]]
    begun = time.monotonic()
    for window in range(1, windows + 1):
        time.sleep(max(0.0, begun + window * INTERVAL - time.monotonic()))
        counts.append(service.requests())
        times.append([_cpu(runner), _cpu(triggerer)])
    requests = [after - before for before, after in pairwise(counts)]
    spent = [[now - then for then, now in zip(*pair, strict=True)] for pair in pairwise(times)]
    return {
        "requests_per_minute": statistics.median(requests) * 60 / INTERVAL,
        "requests_windows": requests,
        "cpu_per_minute": statistics.median(one[0] for one in spent) * 60 / INTERVAL,
        "supervisor_cpu_per_minute": statistics.median(one[1] for one in spent) * 60 / INTERVAL,
        "cpu_windows": spent,
        "mb": runner.memory_info().rss / 1e6,
        "supervisor_mb": triggerer.memory_info().rss / 1e6,
    }


def _cpu(process: psutil.Process) -> float:
    used = process.cpu_times()
    return float(used.user + used.system)


def fail_over(address: str, *, count: int = COUNT) -> dict[str, Any]:
    """Let two triggerers share the tasks, kill one half-way, and return who was forgotten."""
    with ours() as service, tempfile.TemporaryDirectory() as folder:
        jobs = service.jobs(count)
        with Triggerers(Path(folder), address, service.env) as airflow:
            run_id = f"shared-{time.time_ns()}"
            airflow.defer(run_id, jobs)
            airflow.start_component("triggerer")
            airflow.start_another()
            airflow.wait_until_taken()
            shares = airflow.owners()
            begun = time.time()
            step = (ALL_OVER_AFTER - 5.0) / count
            service.end({job["id"]: begun + 5.0 + step * number for number, job in enumerate(jobs)})
            counts, killed = [service.requests()], shares
            for second in range(5, int(NOTICED_AFTER) + 1, 5):
                time.sleep(max(0.0, begun + second - time.time()))
                counts.append(service.requests())
                if second == KILL_AFTER:
                    killed = airflow.owners()
                    airflow.kill("triggerer")
                if second > ALL_OVER_AFTER and len(airflow.told(run_id)) == count:
                    break
            events = {jobs[index]["id"]: moment for index, moment in airflow.told(run_id).items()}
        late = lateness(events, service.ended())
    requests = [after - before for before, after in pairwise(counts)]
    return {
        "count": count,
        "shares": list(shares.values()),
        "left_at_the_kill": list(killed.values()),
        "most_requests_in_a_minute": most_in_a_minute(requests, 5.0),
        "seconds_to_the_last": max(events.values()) - begun if events else None,
        **late,
    }


def main(what: str, count: str = "1000", windows: str = "5") -> None:
    """Run one of them, and print what it came to."""
    with database() as address:
        if what == "fail_over":
            result = fail_over(address, count=int(count))
        else:
            result = measure(what, address, windows=int(windows), count=int(count))
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main(*sys.argv[1:])

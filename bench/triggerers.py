"""Real triggerer processes, and a thousand deferred tasks in the metadata database."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import psutil  # type: ignore[import-untyped]  # it has no types of its own
import sqlalchemy

from bench.measure import ROUNDS, combined
from bench.services import SERVICES, Service, ours
from bench.waiting import Case, lateness, most_in_a_minute
from chaos.postgres import postgres
from demo.airflow_processes import COMPONENTS, LocalAirflow

ROOT = Path(__file__).resolve().parent.parent
SIDES = ("ours", "vertex", "nothing", "nothing in rounds")
COUNT, INTERVAL, WINDOWS = 1_000, 30.0, 2
FIRST_SECONDS = 15.0
"""Seconds after the last trigger has started before the measurement: its first request is not counted."""

KILL_AFTER, ALL_OVER_AFTER, NOTICED_AFTER = 60.0, 110.0, 240.0
"""Seconds after which a triggerer is killed, the last job is over, and nothing more is waited for."""

BUDGET = 20
"""Requests a minute that each of two triggerers may send: two thirds of what each would send without a bound."""


class Triggerers(LocalAirflow):
    """An Airflow with only a database and triggerers.

    :param folder: an empty or missing one.
    :param database: its address.
    :param env: what points the triggers at their service.
    """

    def __init__(self, folder: Path, database: str, env: Mapping[str, str]) -> None:
        super().__init__(folder, ROOT / "bench" / "dags", {**env, "PYTHONPATH": str(ROOT)}, database)
        self._database = sqlalchemy.create_engine(database, pool_pre_ping=True)

    def start(self) -> None:
        """Create the database; triggerers are started by :meth:`start_component` and :meth:`start_another`."""
        self.prepare()

    def stop(self) -> None:
        """Stop the triggerers, and keep the database."""
        super().stop()
        self._database.dispose()

    def start_another(self) -> None:
        """Start a second triggerer."""
        self._spawn("another", COMPONENTS["triggerer"])

    def defer(self, run_id: str, jobs: list[dict[str, Any]], interval: float = INTERVAL, *, keep: bool = False) -> None:
        """Create a deferred task for each job, and delete the triggers of other runs unless they are kept."""
        triggers = [{**job, "kwargs": {**job["kwargs"], "poll_interval": interval}} for job in jobs]
        plan = self.home / f"{run_id}.json"
        plan.write_text(json.dumps(triggers))
        call = [sys.executable, "-m", "bench.deferred", run_id, str(plan), *(["keep"] if keep else [])]
        subprocess.run(call, env=self._env, cwd=self.home, check=True, stdout=subprocess.DEVNULL)  # noqa: S603 - our own

    def owners(self) -> dict[int | None, int]:
        """Return how many triggers each triggerer runs; ``None`` counts triggers without a triggerer."""
        rows = self._ask("SELECT triggerer_id, count(*) FROM trigger GROUP BY triggerer_id")
        return dict(rows)

    def told(self, run_id: str) -> dict[int, float]:
        """Return when tasks were resumed, by map index."""
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
        """Wait until every trigger has a triggerer."""
        self.wait(lambda: set(self.owners()) and None not in self.owners(), 300, "all triggers to be taken up")


def _is_good(kwargs: str) -> bool:
    return "JOB_STATE_SUCCEEDED" in kwargs or "success" in kwargs


@contextmanager
def databases(names: Sequence[str]) -> Iterator[list[str]]:
    """Start a PostgreSQL, and return a function that creates databases: SQLite cannot serve two triggerers."""
    with postgres() as address:
        engine = sqlalchemy.create_engine(address, isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            for name in names:
                connection.execute(sqlalchemy.text(f"CREATE DATABASE {name}"))
        engine.dispose()
        yield [f"{address.rpartition('/')[0]}/{name}" for name in names]


def measure(rounds: int = ROUNDS, *, count: int = COUNT) -> Iterator[dict[str, Any]]:
    """Let each side wait in its own triggerer, all at the same time, and yield the medians after each round.

    Each round starts new triggerers.
    """
    names = [side.replace(" ", "_") for side in SIDES]
    with databases(names) as addresses, ThreadPoolExecutor(len(SIDES)) as pool:
        runs: list[list[dict[str, Any]]] = []
        for _ in range(rounds):
            runs.append(list(pool.map(lambda side, address: _once(side, address, count), SIDES, addresses)))
            yield {side: combined(list(some)) for side, some in zip(SIDES, zip(*runs, strict=True), strict=True)}


def _once(side: str, address: str, count: int) -> dict[str, Any]:
    """Let one triggerer wait, and return what its processes cost."""
    with SERVICES[side]() as service, tempfile.TemporaryDirectory() as folder:
        jobs = service.jobs(count)
        with Triggerers(Path(folder), address, service.env) as airflow:
            run_id = f"{time.time_ns()}"
            airflow.defer(run_id, jobs)
            airflow.start_component("triggerer")
            airflow.wait_until_taken()
            time.sleep(FIRST_SECONDS)
            case = Case(side, count, INTERVAL, first_seconds=0.0, seconds=WINDOWS * INTERVAL)
            begun = time.time()
            service.end({jobs[index]["id"]: begun + seconds for index, seconds in case.ends()})
            cost = _cost(airflow.pid("triggerer"), service)
            time.sleep(1.2 * INTERVAL)
            events = {jobs[index]["id"]: moment for index, moment in airflow.told(run_id).items()}
        late = lateness(events, service.ended())
    return {"side": side, "count": count, "interval": INTERVAL, "settled": FIRST_SECONDS, **cost, **late}


def _cost(pid: int, service: Service) -> dict[str, Any]:
    """Measure the triggerer and the process that runs its triggers, in a minute."""
    triggerer = psutil.Process(pid)
    (runner,) = triggerer.children()
    before = [service.requests(), _cpu(runner), _cpu(triggerer)]
    begun = time.monotonic()
    time.sleep(WINDOWS * INTERVAL)
    after = [service.requests(), _cpu(runner), _cpu(triggerer)]
    minutes = (time.monotonic() - begun) / 60
    requests, triggers, rest = ((now - then) / minutes for then, now in zip(before, after, strict=True))
    return {
        "requests_per_minute": requests,
        "cpu_per_minute": triggers,
        "supervisor_cpu_per_minute": rest,
        "total_cpu_per_minute": triggers + rest,
        "mb": runner.memory_info().rss / 1e6,
        "supervisor_mb": triggerer.memory_info().rss / 1e6,
    }


def _cpu(process: psutil.Process) -> float:
    used = process.cpu_times()
    return float(used.user + used.system)


def fail_over(rounds: int = ROUNDS, *, count: int = COUNT) -> dict[str, Any]:
    """Let two triggerers share the tasks, kill one, and return what was forgotten; all rounds at once."""
    with databases([f"shared_{number}" for number in range(rounds)]) as addresses, ThreadPoolExecutor(rounds) as pool:
        return combined(list(pool.map(lambda address: _fail_over(address, count), addresses)))


def _fail_over(address: str, count: int) -> dict[str, Any]:
    """Have it once; each may send so few requests that all its budget is used, before the kill and after it."""
    budget = {"AIRFLOW__NBJOBS__REQUESTS_PER_MINUTE": str(BUDGET)}
    with ours() as service, tempfile.TemporaryDirectory() as folder:
        jobs = service.jobs(count)
        with Triggerers(Path(folder), address, {**service.env, **budget}) as airflow:
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
    kill = int(KILL_AFTER / 5)
    return {
        "count": count,
        "budget": BUDGET,
        "shares": list(shares.values()),
        "left_at_the_kill": list(killed.values()),
        "most_requests_in_a_minute": most_in_a_minute(requests, 5.0),
        "most_before_the_kill": most_in_a_minute(requests[:kill], 5.0),
        "most_after_the_kill": most_in_a_minute(requests[kill:], 5.0),
        "seconds_to_the_last": max(events.values()) - begun if events else None,
        **late,
    }


def main(what: str, count: str = "1000", rounds: str = "1") -> None:
    """Run one measurement, and print its result."""
    if what == "fail_over":
        found = fail_over(int(rounds), count=int(count))
    else:
        *_, found = measure(int(rounds), count=int(count))
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main(*sys.argv[1:])

"""Many triggers in one process: requests, CPU, memory, blocked loops, and latency."""

from __future__ import annotations

import json
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

from bench.child import Child
from bench.measure import ROUNDS, allow_open_files, combined, in_fresh_process
from bench.services import SERVICES, Service

TICK_SECONDS = 5.0
"""Seconds between two readings of requests and CPU, or the interval if it is shorter."""


@dataclass(frozen=True)
class Case:
    """One measurement: a number of triggers with one interval.

    :ivar first_seconds: begin when the triggers come; what they cost is told apart.
    :ivar seconds: follow, and are what is measured.
    :ivar changes: how many jobs end in those; by default ten and a tenth end, in the first seconds too.
    :ivar watchers: how many event triggers watch beside the triggers.
    """

    side: str
    count: int
    interval: float
    first_seconds: float = 60.0
    seconds: float = 60.0
    changes: int | None = None
    watchers: int = 0

    @property
    def tick(self) -> float:
        """The length of a tick in seconds."""
        return min(TICK_SECONDS, self.interval)

    @property
    def first_ticks(self) -> int:
        """The number of ticks in the first seconds."""
        return round(self.first_seconds / self.tick)

    @property
    def ticks(self) -> int:
        """The number of all ticks."""
        return self.first_ticks + round(self.seconds / self.tick)

    def ends(self) -> Iterator[tuple[int, float]]:
        """Return which jobs end, and how many seconds after the start."""
        dice = random.Random(self.count)  # noqa: S311 - the same for both sides
        whole = self.ticks * self.tick
        first, ending = min(5.0, self.interval), min(self.count, 10 + self.count // 10)
        if self.changes is not None:
            first, ending = self.first_ticks * self.tick, self.changes
        elif self.count <= 10:  # all of them end: before the last interval they are waited for
            first = whole - self.interval
        for job in dice.sample(range(self.count), ending):
            yield job, dice.uniform(first, whole)


def _both(count: int, interval: float, seconds: float = 60.0) -> list[Case]:
    return [Case(side, count, interval, seconds=seconds) for side in ("ours", "vertex")]


SLOW = [
    *(case for count in (1, 10, 100) for interval in (30.0, 5.0) for case in _both(count, interval)),
    *_both(1_000, 30.0),
]
FAST = _both(1_000, 5.0, seconds=30.0)
LARGEST = [
    *(Case("ours", 10_000, interval) for interval in (30.0, 5.0)),
    Case("vertex", 10_000, 30.0, first_seconds=120.0),
]
CHANGES = [Case("ours", count, 30.0, changes=changes) for count in (1_000, 10_000) for changes in (0, 110, 1_000)]

# Long enough for a round that reads back minutes for the watchers.
WATCHED = [Case("ours", 1_000, 30.0, seconds=660.0, changes=700, watchers=watchers) for watchers in (0, 50)]


def measure() -> Iterator[list[dict[str, Any]]]:
    """Measure ours and the peer at the same time, and yield rows as soon as they are known.

    The peer with 10,000 triggers at 5 s is left out: 120,000 requests a minute are more than one process sends.
    """
    yield in_rounds(SLOW, every=60.0)
    yield in_rounds(FAST, every=30.0)
    yield in_rounds(LARGEST, every=150.0)  # the peer needs more than a minute of CPU to create its 10,000 clients


def measure_changes() -> list[dict[str, Any]]:
    """Measure the cost of jobs that end, for ours."""
    return in_rounds(CHANGES, every=90.0)


def measure_watchers() -> list[dict[str, Any]]:
    """Measure what event triggers add to the requests of triggers that wait."""
    return in_rounds(WATCHED, every=20.0)


def in_rounds(cases: Sequence[Case], every: float) -> list[dict[str, Any]]:
    """Measure cases in rounds, each case and its service in fresh processes, and return the medians.

    All cases of a round wait at the same time. A process alone takes a small part of a core, so a round begins before
    the last one is over.

    :param every: seconds from the beginning of one round to that of the next one.
    """
    begun = time.monotonic()

    def one(case: Case, number: int) -> dict[str, Any]:
        time.sleep(max(0.0, begun + number * every - time.monotonic()))
        return in_fresh_process("bench.waiting", json.dumps(asdict(case)))

    with ThreadPoolExecutor(ROUNDS * len(cases)) as pool:
        runs = [[pool.submit(one, case, number) for number in range(ROUNDS)] for case in cases]
    return [combined([run.result() for run in some]) for some in runs]


def measure_alone(case: Case) -> dict[str, Any]:
    """Measure a case with a new service."""
    with SERVICES[case.side]() as service:
        return _measure(case, service)


_KEPT = {"side", "count", "interval", "changes", "watchers"}


def _measure(case: Case, service: Service) -> dict[str, Any]:
    """Let a new process wait, and return its cost."""
    module = service.classpath.rpartition(".")[0]
    wanted = (str(case.interval), str(case.ticks), str(case.tick), module, str(case.watchers))
    with Child("bench.waiter", *wanted, env=service.env) as child:
        jobs = service.jobs(case.count)
        child.hear("ready")
        with tempfile.NamedTemporaryFile("w", suffix=".json") as plan:
            json.dump(jobs, plan)
            plan.flush()
            child.say(plan.name)
            child.hear("begin")
        begun, counts = time.time(), [service.requests()]
        service.end({jobs[index]["id"]: begun + seconds for index, seconds in case.ends()})
        for _ in range(case.ticks):
            child.hear("tick")
            counts.append(service.requests())
        result = json.loads(child.hear("result"))
    requests, seconds = [after - before for before, after in pairwise(counts)], result.pop("seconds")
    late = lateness(result.pop("events"), {job: end for job, end in service.ended().items() if end > begun})
    return {
        **{key: value for key, value in asdict(case).items() if key in _KEPT},
        **_per_minute("requests", case, requests, seconds),
        "most_requests_in_a_minute": most_in_a_minute(requests, case.tick),
        **_per_minute("cpu", case, result.pop("cpu"), seconds),
        **result,
        **late,
    }


def _per_minute(what: str, case: Case, ticks: Sequence[float], seconds: Sequence[float]) -> dict[str, float]:
    """Return the amounts in a minute after all triggers wait, and in the first minute.

    :param seconds: that each tick took.
    """
    rest = slice(case.first_ticks, None)
    return {
        f"{what}_per_minute": sum(ticks[rest]) * 60 / sum(seconds[rest]),
        f"{what}_first_minute": sum(ticks[: round(60 / case.tick)]),
    }


def most_in_a_minute(requests: Sequence[int], tick: float) -> int:
    """Return the maximum number of requests in a minute."""
    size = min(len(requests), round(60 / tick))
    return max(sum(requests[first : first + size]) for first in range(len(requests) - size + 1))


def lateness(events: dict[str, float], ends: dict[str, float]) -> dict[str, Any]:
    """Return how many seconds after a job's end its event came, and how many ends were not noticed."""
    late = sorted(events[job] - ends[job] for job in ends if job in events)
    return {
        "ended": len(ends),
        "unnoticed": len(ends) - len(late),
        "latency_median": statistics.median(late) if late else None,
        "latency_p99": late[round(0.99 * (len(late) - 1))] if late else None,
    }


if __name__ == "__main__":
    allow_open_files()
    print(json.dumps(measure_alone(Case(**json.loads(sys.argv[1])))))

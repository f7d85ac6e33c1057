"""Many triggers in one process: requests, CPU, memory, blocked loops, and how late an end is noticed."""

from __future__ import annotations

import json
import random
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from bench.child import Child
from bench.services import SERVICES, Service

WINDOWS = 5


@dataclass(frozen=True)
class Case:
    """One measurement: so many triggers with this interval, for so many seconds or longer."""

    side: str
    count: int
    interval: float
    seconds: float = 60.0

    @property
    def windows(self) -> int:
        """How many intervals are measured."""
        return max(WINDOWS, round(self.seconds / self.interval))

    @property
    def ending(self) -> int:
        """How many of the jobs end while they are waited for: ten and a tenth."""
        return min(self.count, 10 + self.count // 10)

    def ends(self) -> Iterator[tuple[int, float]]:
        """Give which of them end, and how many seconds after the beginning."""
        dice = random.Random(self.count)  # noqa: S311 - the same for both sides
        whole = self.windows * self.interval
        # Few jobs end in the last interval only: before it all of them are waited for.
        first = min(5.0, self.interval) if self.count > 10 else whole - self.interval
        for job in dice.sample(range(self.count), self.ending):
            yield job, dice.uniform(first, whole)


# Few triggers cost so little that they wait side by side, each crowd in a process of its own.
SMALL = [
    Case(side, count, interval) for count in (1, 10, 100) for interval in (30.0, 5.0) for side in ("ours", "vertex")
]
# The peer with 10,000 triggers does not fit: each has a channel of its own, of a quarter of a megabyte.
LARGE = [Case(side, 1_000, interval) for interval in (30.0, 5.0) for side in ("ours", "vertex")]
LARGEST = [Case("ours", 10_000, interval) for interval in (30.0, 5.0)]


def measure_small() -> list[dict[str, Any]]:
    """Measure the small cases, all at once."""
    ready = threading.Barrier(len(SMALL))
    with ThreadPoolExecutor(len(SMALL)) as pool:
        return list(pool.map(lambda case: measure_alone(case, lambda: ready.wait(300)), SMALL))


def measure_large() -> Iterator[dict[str, Any]]:
    """Measure the others, one after the other, and give each result."""
    yield from map(measure_alone, LARGE)
    with SERVICES["ours"]() as service:
        for case in LARGEST:
            yield measure(case, service)


def measure_alone(case: Case, ready: Callable[[], Any] = lambda: None) -> dict[str, Any]:
    """Measure a case with a service of its own."""
    with SERVICES[case.side]() as service:
        return measure(case, service, ready)


def measure(case: Case, service: Service, ready: Callable[[], Any] = lambda: None) -> dict[str, Any]:
    """Let a fresh process wait, and return what it cost.

    :param ready: waits for the other processes that are to begin at the same time.
    """
    module = service.classpath.rpartition(".")[0]
    with Child("bench.waiter", str(case.interval), str(case.windows), module, env=service.env) as child:
        jobs = service.jobs(case.count)
        child.hear("ready")
        ready()
        with tempfile.NamedTemporaryFile("w", suffix=".json") as plan:
            json.dump(jobs, plan)
            plan.flush()
            child.say(plan.name)
            child.hear("begin")
        begun, counts = time.time(), [service.requests()]
        service.end({jobs[index]["id"]: begun + seconds for index, seconds in case.ends()})
        for _ in range(case.windows):
            child.hear("window")
            counts.append(service.requests())
        result = json.loads(child.hear("result"))
    requests = [after - before for before, after in pairwise(counts)]
    costs = {key: result[key] for key in ("kb_per_waiter", "busy_ms", "blocked_ms")}
    return {
        "side": case.side,
        "count": case.count,
        "interval": case.interval,
        "cpu_per_minute": statistics.median(result["cpu"]),
        "cpu_windows": result["cpu"],
        "requests_per_minute": statistics.median(requests) * 60 / case.interval,
        "requests_windows": requests,
        "most_requests_in_a_minute": most_in_a_minute(requests, case.interval),
        **costs,
        **lateness(result["events"], {job: end for job, end in service.ended().items() if end > begun}),
    }


def most_in_a_minute(requests: Sequence[int], window: float) -> int:
    """Return how many requests fell at most into so many windows as a minute has."""
    size = min(len(requests), round(60 / window))
    return max(sum(requests[first : first + size]) for first in range(len(requests) - size + 1))


def lateness(events: dict[str, float], ends: dict[str, float]) -> dict[str, Any]:
    """Return how many seconds after a job's end its event came; an end that was not noticed at all is counted."""
    late = sorted(events[job] - ends[job] for job in ends if job in events)
    return {
        "ended": len(ends),
        "unnoticed": len(ends) - len(late),
        "latency_median": statistics.median(late) if late else None,
        "latency_p99": late[round(0.99 * (len(late) - 1))] if late else None,
    }


if __name__ == "__main__":
    side, count, interval = sys.argv[1:]
    print(json.dumps(measure_alone(Case(side, int(count), float(interval))), indent=2))

"""The goals, and whether the measurements meet them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

QUOTA = 600
"""Requests per minute that Google allows a project (https://cloud.google.com/colab/docs/quotas)."""


class Goal(NamedTuple):
    """One line of the table."""

    what: str
    limit: float
    measured: float
    unit: str = ""

    def row(self) -> str:
        """Return it as a row of Markdown."""
        is_met = "yes" if self.measured <= self.limit else "**no**"
        limit = f"≤ {self.limit:.4g}{self.unit}" if self.limit else "0"
        return f"| {self.what} | {limit} | {self.measured:.3g}{self.unit} | {is_met} |\n"


def goals(results: dict[str, Any]) -> Iterator[Goal]:
    """Return the goals of all parts that were measured."""
    parts: dict[str, Callable[[Any], Iterator[Goal]]] = {
        "imports": _imports,
        "command_line": _command_line,
        "notebook_tab": _notebook_tab,
        "deferring": _deferring,
        "waiting": _waiting,
        "watchers": _watchers,
        "triggerers": _triggerers,
        "shared": _shared,
        "workers": _workers,
        "submission": _submission,
        "emulator": _emulator,
        "rendering": _rendering,
    }
    for part, goals_of in parts.items():
        if results.get(part):
            yield from goals_of(results[part])


def _imports(found: dict[str, dict[str, float]]) -> Iterator[Goal]:
    operators, trigger = found["ours: operators, sensors, links"], found["ours: trigger"]
    yield Goal("import of operators, sensors and links, CPU", 0.15, operators["cpu_seconds"], " s")
    yield Goal("the same, memory", 10, operators["mb"], " MB")
    yield Goal("import of the trigger over `GoogleBaseHook`, CPU", 0.5, trigger["cpu_seconds"], " s")
    peers = found["Vertex AI: operators"]
    for what, key in (("CPU", "cpu_seconds"), ("memory", "mb")):
        yield Goal(f"import of operators over the peer's, {what}", 1 / 20, operators[key] / peers[key])


def _command_line(found: dict[str, dict[str, Any]]) -> Iterator[Goal]:
    what = "`nbjobs run` on a running emulator, a notebook of two cells: CPU over papermill's"
    yield Goal(what, 0.7, found["run"]["cpu_seconds_over"])
    yield Goal("the same: time over papermill's", 1, found["run"]["seconds_over"])
    yield Goal("`nbjobs run --local`: time over papermill's", 1.5, found["local"]["seconds_over"])


def _notebook_tab(found: dict[str, Any]) -> Iterator[Goal]:
    for size in ("1 MB", "50 MB"):
        yield Goal(f"notebook tab, {size}: first paint over `nbconvert --to html`", 1.2, found[size]["first_over"])
        yield Goal("the same: first paint from the cache", 1 / 10, found[size]["cached_over"])
    memory = found["memory"]
    yield Goal("memory of the API server after 100 more views, over before", 1.05, memory["after"] / memory["before"])


def _deferring(found: dict[str, Any]) -> Iterator[Goal]:
    what = "CPU of a deferrable task's process up to its deferral, over the peer's"
    yield Goal(what, 1 / 4, found["ours"]["cpu_seconds"] / found["vertex"]["cpu_seconds"])


def _waiting(rows: list[dict[str, Any]]) -> Iterator[Goal]:
    case = {(row["side"], row["count"], row["interval"]): row for row in rows if row["changes"] is None}
    ours, peer = case.get(("ours", 1_000, 30.0)), case.get(("vertex", 1_000, 30.0))
    if ours:
        yield Goal("1,000 triggers at 30 s: requests per minute", 20, ours["requests_per_minute"])
        yield Goal("the same: memory for each", 20, ours["kb_per_waiter"], " KB")
        yield Goal("the same: longest turn of the event loop, CPU", 10, ours["busy_ms"], " ms")
        yield Goal("the same: latency, median", 30 / 2 + 1, ours["latency_median"], " s")
        yield Goal("the same: requests in any minute", 1_000 / 100 + 30, ours["most_requests_in_a_minute"])
        yield Goal("the same: ends not noticed", 0, ours["unnoticed"])
    if ours and peer:
        over = ours["requests_per_minute"] / peer["requests_per_minute"]
        yield Goal("the same: requests over the peer's", 1 / 100, over)
        yield Goal("the same: CPU over the peer's", 1 / 20, ours["cpu_per_minute"] / peer["cpu_per_minute"])
    for interval in (30.0, 5.0):
        if many := case.get(("ours", 10_000, interval)):
            yield Goal(
                f"10,000 triggers at {interval:g} s: requests in any minute", QUOTA, many["most_requests_in_a_minute"]
            )
            yield Goal("the same: latency, 99 of 100", 2 * interval, many["latency_p99"], " s")
            yield Goal("the same: ends not noticed", 0, many["unnoticed"])


def _watchers(rows: list[dict[str, Any]]) -> Iterator[Goal]:
    alone, watched = sorted(rows, key=lambda row: row["watchers"])
    over = watched["requests_per_minute"] / alone["requests_per_minute"]
    yield Goal("1,000 triggers and 50 watchers at 30 s: requests over those of the triggers alone", 1.2, over)
    yield Goal("the same: ends not noticed", 0, watched["unnoticed"])


def _triggerers(found: dict[str, Any]) -> Iterator[Goal]:
    yield Goal("a real triggerer with 1,000 tasks: requests per minute", 20, found["ours"]["requests_per_minute"])
    what = "the same: CPU over the peer's, each without the base cost of triggers that send no requests"
    yield Goal(what, 1 / 20, cpu_over_the_peers(found)["over the base"])


def cpu_over_the_peers(found: dict[str, Any]) -> dict[str, float]:
    """Return our CPU over the peer's in a real triggerer, calculated in three ways."""
    total = {side: row["total_cpu_per_minute"] for side, row in found.items()}
    alone = {side: row["cpu_per_minute"] for side, row in found.items()}
    return {
        "in all": total["ours"] / total["vertex"],
        "over the base": (total["ours"] - total["nothing in rounds"]) / (total["vertex"] - total["nothing"]),
        "triggers": alone["ours"] / alone["vertex"],
    }


def _shared(found: dict[str, Any]) -> Iterator[Goal]:
    budget = found["budget"]
    what = f"two triggerers with a budget of {budget} requests per minute each: requests in any minute"
    yield Goal(what, 2 * budget, found["most_requests_in_a_minute"])
    yield Goal("the same, one killed: requests in any minute after it", budget, found["most_after_the_kill"])
    yield Goal("the same: forgotten tasks", 0, found["unnoticed"])


def _workers(found: dict[str, Any]) -> Iterator[Goal]:
    ours, peer = found["create_deferrable"]["cpu_seconds"], found["vertex"]["cpu_seconds"]
    yield Goal("a worker's CPU for a deferrable task over the peer's", 1, ours / peer)


def _submission(found: dict[str, Any]) -> Iterator[Goal]:
    yield Goal("a wave of 300 creates: failed tasks", 0, found["failed"])
    yield Goal("the same: jobs created twice", 0, found["twice"])


def _emulator(found: dict[str, Any]) -> Iterator[Goal]:
    yield Goal("the emulator with 10,000 jobs: a page of 100, median", 10, found["page_ms"], " ms")
    yield Goal("the same: 100 creates", 1, 100 / found["creates_a_second_at_last"], " s")


def _rendering(rows: list[dict[str, Any]]) -> Iterator[Goal]:
    for row in rows:
        yield Goal(f"an executed notebook as HTML, {row['what']}: CPU over nbconvert's", 1.2, row["ratio_cpu_seconds"])

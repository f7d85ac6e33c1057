"""The rows of the page's tables."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

WHOSE = {
    "ours": "ours",
    "vertex": "Vertex AI",
    "nothing": "triggers without requests",
    "nothing in rounds": "the same, ended in rounds",
}
_CASE = ("triggers", "interval s", "whose")


def table(columns: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """Return a table in Markdown, with numbers aligned right."""
    names = list(columns)
    rule = ["---" if name in {"", "whose"} else "---:" for name in names]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in (names, rule, *rows))


def spread(row: dict[str, Any], key: str, digits: int = 0) -> str:
    """Return the median, and minimum and maximum if the runs differ; empty if it was not measured."""
    if row.get(key) is None:
        return ""
    least, most = row["range"][key]
    shown = f"{row[key]:,.{digits}f}"
    ends = f"{least:,.{digits}f}", f"{most:,.{digits}f}"
    return shown if ends == (shown, shown) else f"{shown} ({ends[0]} to {ends[1]})"


def unnoticed(row: dict[str, Any]) -> str:
    """Return how many ends were not noticed, of how many."""
    return f"{row['unnoticed']} of {row['ended']}" if row["ended"] else ""


def waiting_costs(rows: list[dict[str, Any]]) -> str:
    """Return the table of requests and CPU, with ratios to ours."""
    columns = (*_CASE, "requests/min", "first minute", "most in any", "CPU s/min", "first minute")
    ours = {_case(row): row for row in _waiting(rows) if row["side"] == "ours"}
    return table(
        (*columns, "ours = 1: requests", "CPU"),
        (
            (
                *_named(row),
                spread(row, "requests_per_minute"),
                spread(row, "requests_first_minute"),
                spread(row, "most_requests_in_a_minute"),
                spread(row, "cpu_per_minute", 3),
                spread(row, "cpu_first_minute", 2),
                *(ratio(row, ours[_case(row)], key) for key in ("requests_per_minute", "cpu_per_minute")),
            )
            for row in _waiting(rows)
        ),
    )


def waiting_delays(rows: list[dict[str, Any]]) -> str:
    """Return the table of memory, turns of the loop and latency."""
    columns = (*_CASE, "KB each", "longest turn ms", "without collections", "longest collection", "by the clock")
    keys = ("busy_ms", "busy_uncollected_ms", "collection_ms", "blocked_ms")
    return table(
        (*columns, "latency s: median", "p99", "not noticed"),
        (
            (
                *_named(row),
                # With few triggers, the memory of the first one dominates.
                spread(row, "kb_per_waiter", 1) if row["count"] >= 100 else "",
                *(spread(row, key, 1) for key in keys),
                spread(row, "latency_median", 1),
                spread(row, "latency_p99", 1),
                unnoticed(row),
            )
            for row in _waiting(rows)
        ),
    )


def watchers(rows: list[dict[str, Any]]) -> str:
    """Return the table of what watchers add."""
    return table(
        ("watchers", "requests/min", "CPU s/min", "latency s: median", "not noticed"),
        (
            (
                f"{row['watchers']}",
                spread(row, "requests_per_minute", 1),
                spread(row, "cpu_per_minute", 3),
                spread(row, "latency_median", 1),
                unnoticed(row),
            )
            for row in rows
        ),
    )


def changes(rows: list[dict[str, Any]]) -> str:
    """Return the table of costs over the number of jobs that end."""
    some = sorted((row for row in rows if row["changes"] is not None), key=lambda row: (row["changes"], row["count"]))
    return table(
        ("jobs that end in a minute", "triggers", "requests/min", "CPU s/min"),
        (
            (
                f"{row['changes']:,}",
                f"{row['count']:,}",
                spread(row, "requests_per_minute"),
                spread(row, "cpu_per_minute", 3),
            )
            for row in some
        ),
    )


def triggerers(found: dict[str, dict[str, Any]]) -> str:
    """Return the table of real triggerers."""
    columns = (
        "whose",
        "requests/min",
        "CPU s/min",
        "triggers",
        "the rest",
        "CPU, ours = 1",
        "MB: triggers",
        "the rest",
    )
    ours = found["ours"]
    return table(
        (*columns, "latency s: median", "p99", "not noticed"),
        (
            (
                WHOSE[side],
                spread(row, "requests_per_minute"),
                *(spread(row, f"{key}cpu_per_minute", 2) for key in ("total_", "", "supervisor_")),
                ratio(row, ours, "total_cpu_per_minute"),
                spread(row, "mb"),
                spread(row, "supervisor_mb"),
                spread(row, "latency_median", 1),
                spread(row, "latency_p99", 1),
                unnoticed(row),
            )
            for side, row in found.items()
        ),
    )


def ratio(row: dict[str, Any], ours: dict[str, Any], key: str) -> str:
    """Return the ratio to ours."""
    return f"{row[key] / ours[key]:,.1f}" if ours[key] else ""


def _waiting(rows: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    some = [row for row in rows if row["changes"] is None]
    yield from sorted(some, key=lambda row: (row["count"], -row["interval"], row["side"]))


def _case(row: dict[str, Any]) -> tuple[Any, ...]:
    return row["count"], row["interval"]


def _named(row: dict[str, Any]) -> tuple[str, str, str]:
    return f"{row['count']:,}", f"{row['interval']:g}", WHOSE[row["side"]]

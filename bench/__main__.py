"""`python -m bench`: run every measurement in one go, and write `docs/benchmarks.md`.

`python -m bench imports waiting` runs these parts alone, and keeps what is known of the others.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from bench import imports, submission, waiting
from bench.page import describe_machine, write

RESULTS = Path("docs/benchmarks.json")
ROUNDS = 5

# The peer with 10,000 triggers does not fit: each has a channel of its own, of a quarter of a megabyte.
CASES = [
    waiting.Case(side, count, interval)
    for count in (1, 10, 100, 1_000, 10_000)
    for interval in (30.0, 5.0)
    for side in ("ours", "vertex")
    if side == "ours" or count <= 1_000
]


def _waiting() -> list[dict[str, Any]]:
    # What is over soonest is noticed only when the time is longer than a few intervals.
    measured = []
    for case in CASES:
        lasting = replace(case, seconds=max(60.0, 4 * case.interval))
        print(f"waiting: {lasting}", flush=True)
        measured.append({"side": case.side, "count": case.count, "interval": case.interval} | waiting.measure(lasting))
    return measured


PARTS: dict[str, Callable[[], Any]] = {
    "imports": lambda: imports.measure(ROUNDS),
    "waiting": _waiting,
    "submission": submission.measure,
}


def main(*parts: str) -> None:
    """Run the parts, all unless some are named."""
    results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    for part in parts or PARTS:
        print(f"{part} …", flush=True)
        results[part] = PARTS[part]()
        results["machine"] = describe_machine()
        RESULTS.write_text(json.dumps(results, indent=1) + "\n")
        write(results, RESULTS.parent)


if __name__ == "__main__":
    main(*sys.argv[1:])

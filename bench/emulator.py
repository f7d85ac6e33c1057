"""The speed of the emulator with ten thousand jobs: creating and listing."""

from __future__ import annotations

import json
import statistics
import time
from typing import Any

import httpx

from airflow_nbjobs.emulator import Emulator
from bench.measure import rss
from bench.services import BODY, PARENT

COUNT, SOME, PAGES = 10_000, 1_000, 200


def measure() -> dict[str, Any]:
    """Create the jobs one after the other, then read pages of 100, the last changed first."""
    before = rss()
    with (
        Emulator(runner="simulated", seconds=86400.0, cleanup_seconds=0.0) as emulator,
        httpx.Client(base_url=f"{emulator.url}/v1/", trust_env=False, timeout=60) as http,
    ):
        taken = [_seconds(lambda: http.post(PARENT, json=BODY).raise_for_status()) for _ in range(COUNT)]
        query = {"orderBy": "update_time desc", "pageSize": 100}
        pages = [_seconds(lambda: http.get(PARENT, params=query).raise_for_status()) for _ in range(PAGES)]
    return {
        "count": COUNT,
        "creates_a_second_at_first": SOME / sum(taken[:SOME]),
        "creates_a_second_at_last": SOME / sum(taken[-SOME:]),
        "page_ms": 1e3 * statistics.median(pages),
        "page_ms_p99": 1e3 * sorted(pages)[round(0.99 * (PAGES - 1))],
        "mb": (rss() - before) / 1e6,
    }


def _seconds(act: Any) -> float:
    begun = time.perf_counter()
    act()
    return time.perf_counter() - begun


if __name__ == "__main__":
    print(json.dumps(measure()))

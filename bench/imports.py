"""The cost of importing a provider's operators, in addition to what every DAG file imports."""

from __future__ import annotations

import importlib
import json
import statistics
import sys
import time
from collections.abc import Iterator

from bench.measure import in_fresh_process, rss

SDK = "airflow.sdk airflow.providers.common.compat.sdk"
BASE_HOOK = "airflow.providers.google.common.hooks.base_google"
GOOGLE = "airflow.providers.google.cloud"
PEER = "Vertex AI: operators"

# Case: the base modules, and the measured modules.
CASES = {
    "ours: operators, sensors, links": (SDK, "airflow_nbjobs.operators airflow_nbjobs.sensors airflow_nbjobs.links"),
    PEER: (SDK, f"{GOOGLE}.operators.vertex_ai.custom_job"),
    "Dataproc: operators": (SDK, f"{GOOGLE}.operators.dataproc"),
    "Databricks: operators": (SDK, "airflow.providers.databricks.operators.databricks"),
    "ours: trigger": (f"{SDK} {BASE_HOOK}", "airflow_nbjobs.triggers"),
    "Vertex AI: triggers": (f"{SDK} {BASE_HOOK}", f"{GOOGLE}.triggers.vertex_ai"),
    "Databricks: triggers": (f"{SDK} {BASE_HOOK}", "airflow.providers.databricks.triggers.databricks"),
}


def measure(rounds: int) -> dict[str, dict[str, float]]:
    """Import each in fresh processes, in turns, and return the medians: CPU seconds and MB over its base."""
    found: dict[str, list[dict[str, float]]] = {case: [] for case in CASES}
    for case in _in_turns(rounds + 1):
        base, modules = CASES[case]
        found[case].append(in_fresh_process("bench.imports", base, modules))
    return {
        case: {what: statistics.median(one[what] for one in some[1:]) for what in ("cpu_seconds", "mb")}
        for case, some in found.items()  # the first of each reads from disk and compiles
    }


def _in_turns(rounds: int) -> Iterator[str]:
    for _ in range(rounds):
        yield from CASES


def _import(names: str) -> None:
    for name in names.split():
        importlib.import_module(name)


def main(base: str, modules: str) -> None:
    """Import base and modules, and print the cost of the modules, and the CPU seconds of the base."""
    begun = time.process_time()
    _import(base)
    cpu, memory = time.process_time(), rss()
    _import(modules)
    cost = {"cpu_seconds": time.process_time() - cpu, "mb": (rss() - memory) / 1e6}
    print(json.dumps({**cost, "base_cpu_seconds": cpu - begun}))


if __name__ == "__main__":
    main(*sys.argv[1:])

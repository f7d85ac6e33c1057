"""`python -m bench`: run all measurements, and write `docs/benchmarks.md`.

`python -m bench imports triggerers` runs these parts alone, and keeps what is known of the others. What was measured is
kept when it is interrupted.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from bench import command_line, deferring, imports, notebook_tab, rendering, submission, triggerers, waiting, workers
from bench.measure import ROUNDS, combined, in_fresh_process
from bench.page import describe_machine, write

PAGE_FOLDER = Path("docs")
RESULTS = PAGE_FOLDER / "benchmarks.json"
PARTS = (
    "imports",
    "command_line",
    "notebook_tab",
    "deferring",
    "emulator",
    "submission",
    "waiting",
    "watchers",
    "triggerers",
    "workers",
    "shared",
    "rendering",
)

Keep = Callable[[str, Any], None]


def main(*parts: str) -> None:
    """Run the parts that are named, or all."""
    begun = time.monotonic()
    results = json.loads(RESULTS.read_text()) if parts and RESULTS.exists() else {}

    def keep(part: str, result: Any) -> None:
        minutes = (time.monotonic() - begun) / 60
        print(f"{minutes:5.1f} min  {part}: {json.dumps(result)[:200]}", flush=True)
        results[part] = result
        command = " ".join(["python -m bench", *parts])
        run_of = {**describe_machine(), "minutes": minutes, "command": f"`{command}`"}
        if parts:
            results.setdefault("later", {})[part] = run_of
        if not parts or "machine" not in results:
            results["machine"] = run_of
        RESULTS.write_text(json.dumps(results, indent=1) + "\n")
        write(results, PAGE_FOLDER)

    run(set(parts or PARTS), keep)


def run(parts: set[str], keep: Keep) -> None:
    """Run the parts one after the other, but for two that go on aside of others.

    They are the waves, nearly all of whose tasks sleep for five minutes, and the workers, nearly all of whose time is
    waiting too, and whose CPU is their own.
    """
    with ThreadPoolExecutor(1) as aside:
        if "imports" in parts:
            keep("imports", imports.measure(ROUNDS))
        if "command_line" in parts:
            keep("command_line", command_line.measure(ROUNDS))
        if "notebook_tab" in parts:
            keep("notebook_tab", notebook_tab.measure(notebook_tab.TAB_ROUNDS))
        if "deferring" in parts:
            keep("deferring", deferring.measure())
        if "emulator" in parts:
            keep("emulator", combined([in_fresh_process("bench.emulator") for _ in range(ROUNDS)]))
        if "rendering" in parts:
            for found in rendering.measure():
                keep("rendering", found)
        wave = aside.submit(submission.in_rounds) if "submission" in parts else None
        rows: list[dict[str, Any]] = []
        if "waiting" in parts:
            for some in waiting.measure():
                rows += some
                keep("waiting", rows)
        if wave is not None:
            keep("submission", wave.result())
        works = aside.submit(workers.measure) if "workers" in parts else None
        if "waiting" in parts:
            keep("waiting", rows + waiting.measure_changes())
        if "watchers" in parts:
            keep("watchers", waiting.measure_watchers())
        if "triggerers" in parts:
            for found in triggerers.measure():
                keep("triggerers", found)
        if "shared" in parts:
            keep("shared", triggerers.fail_over())
        if works is not None:
            keep("workers", works.result())


if __name__ == "__main__":
    logging.disable(logging.INFO)
    with tempfile.TemporaryDirectory() as home:
        # The measured processes have a new AIRFLOW_HOME, and no settings of another Airflow.
        for name in [name for name in os.environ if name.startswith(("AIRFLOW", "NBJOBS_"))]:
            del os.environ[name]
        os.environ["AIRFLOW_HOME"] = home
        main(*sys.argv[1:])

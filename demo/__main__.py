"""`make demo`: run a notebook as a task of a real Airflow, on this machine."""

from __future__ import annotations

import argparse
import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

from httpx import HTTPError

from airflow_nbjobs.emulator import Emulator
from demo.airflow_processes import ComponentDiedError, LocalAirflow
from demo.airflow_rest import Run
from demo.folders import fresh_folder

ROOT = Path(__file__).resolve().parent.parent
EXAMPLES = ROOT / "example_dags"
BUCKET, NOTEBOOK = "nbjobs-examples", "notebooks/wine.ipynb"
DAG, TASK = "hello_notebook", "wine_report"
RUN_SECONDS = 180
ENDED = {"success", "failed", "upstream_failed", "skipped", "removed"}

MEANING = {
    "scheduled": "will be queued for a worker",
    "queued": "waits for a worker",
    "running": "a worker submits the notebook as a job",
    "deferred": "the job runs; the triggerer watches it, and no worker slot is used",
    "success": "the worker has read the result",
    "failed": "its log is below",
    "up_for_retry": "Airflow will retry",
}
MEANING_AFTERWARDS = {
    **MEANING,
    "scheduled": "the job has ended; will be queued for a worker",
    "running": "a worker reads the result",
}
"""The meanings of the states after a deferral."""

Say = Callable[[str, str], None]


def main() -> int:
    """Run the demo and return its exit code."""
    parser = argparse.ArgumentParser(prog="make demo", description=__doc__)
    parser.add_argument("--ui", action="store_true", help="keep Airflow running until Ctrl-C (make demo UI=1)")
    ui = parser.parse_args().ui
    # SIGINT too: a shell ignores it for commands in the background.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    try:
        with fresh_folder(ROOT / ".nbjobs") as folder:
            return _run(folder, ui=ui)
    except KeyboardInterrupt:
        print("\nInterrupted. All processes have ended.")
        return 130
    except (ComponentDiedError, TimeoutError, OSError, RuntimeError, subprocess.SubprocessError, HTTPError) as error:
        print(f"\nThe demo failed. {error}", file=sys.stderr)
        return 1


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def _run(folder: Path, *, ui: bool) -> int:
    say = _stopwatch()
    with Emulator(data=folder / "cloud") as cloud:
        say("Vertex AI", f"the emulator answers at {cloud.url}")
        cloud.upload(f"gs://{BUCKET}/{NOTEBOOK}", (EXAMPLES / NOTEBOOK).read_bytes())
        say("Cloud Storage", f"has gs://{BUCKET}/{NOTEBOOK}")
        say("Airflow", "starts database, API server, scheduler, DAG processor and triggerer")
        environment = {
            **cloud.env,
            "NBJOBS_BUCKET": BUCKET,
            "NBJOBS_POLL_INTERVAL": "1",
            # After a short deferral Airflow 3.3.2 may fail a try that has deferred; a retry re-attaches.
            "AIRFLOW__CORE__DEFAULT_TASK_RETRIES": "5",
            "AIRFLOW__CORE__DEFAULT_TASK_RETRY_DELAY": "1",
        }
        with LocalAirflow(folder / "airflow", EXAMPLES, environment) as airflow:
            say("Airflow", f"is healthy at {airflow.url}")
            airflow.wait(lambda: airflow.rest.knows(DAG), 60, f"the DAG {DAG} to be parsed")
            run = airflow.rest.trigger(DAG)
            say("Airflow", f"runs the DAG {DAG}")
            states = _follow(airflow, run, say)
            if states[-1] != "success":
                print(airflow.rest.log(run, TASK), file=sys.stderr)
                return 1
            _show_result(airflow, run, cloud, folder)
            if ui:
                _stay(airflow, run)
            say("Airflow", "stops")
    say("Done", "all processes have ended")
    return 0


def _stopwatch() -> Say:
    start = time.monotonic()

    def say(who: str, what: str) -> None:
        print(f"{time.monotonic() - start:6.1f} s  {who:<14} {what}", flush=True)

    return say


def _follow(airflow: LocalAirflow, run: Run, say: Say) -> list[str]:
    """Print each state of the task until it ends, and return all states."""
    states: list[str] = []

    def ended() -> bool:
        state = airflow.rest.task(run, TASK)["state"]
        if state and (not states or state != states[-1]):
            meanings = MEANING_AFTERWARDS if "deferred" in states else MEANING
            say(TASK, f"{state:<10} {meanings.get(state, '')}")
            states.append(state)
        return state in ENDED

    airflow.wait(ended, RUN_SECONDS, f"the task {TASK} to end")
    return states


def _show_result(airflow: LocalAirflow, run: Run, cloud: Emulator, folder: Path) -> None:
    result = airflow.rest.xcom(run, TASK)
    copy = folder / Path(NOTEBOOK).name
    copy.write_bytes(cloud.download(result["executed_notebook"]))
    print(f"\nThe task's result (its XCom):\n{json.dumps(result, indent=2)}")
    print(f"\nThe executed notebook, {result['executed_notebook']}\nwas copied to {copy}. Its outputs:\n")
    for cell in json.loads(copy.read_bytes())["cells"]:
        for output in cell.get("outputs", []):
            print("".join(output.get("text") or output.get("data", {}).get("text/plain", [])))


def _stay(airflow: LocalAirflow, run: Run) -> None:
    print(
        f"\nAirflow's UI: {airflow.url} (user {airflow.username}, password {airflow.password})"
        "\nIt runs until Ctrl-C. You can trigger the other example DAGs there."
        "\nThe executed notebook is a tab of its task there:"
        f"\n{airflow.url}/dags/{DAG}/runs/{quote(run.run_id, safe='')}/tasks/{TASK}/plugin/notebook",
        flush=True,
    )
    try:
        airflow.wait(lambda: False, float("inf"), "Ctrl-C")
    except KeyboardInterrupt:
        print()


if __name__ == "__main__":
    sys.exit(main())

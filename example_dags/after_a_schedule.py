"""Wait for the run of a schedule of Vertex AI, and use its results.

The schedule creates jobs at its own times, which Airflow does not know. The sensor finds the job that belongs to the
DAG run: the newest one of the 24 hours before the logical date. A job that started late, up to an hour after it, counts
if there is no other one. Backfills and clears find the same job: ``airflow backfill create --dag-id after_a_schedule
--from-date 2026-11-16 --to-date 2026-11-22``. A manual run without a logical date takes the last 24 hours.

``NBJOBS_SCHEDULE`` is the id or the name of the schedule. ``hello_notebook.py`` describes the other environment
variables, the bucket and the packages.
"""

import os
from typing import Any

import pendulum
from airflow.sdk import DAG, task

from airflow_nbjobs.sensors import NotebookScheduleRunSensor

MOMENT = "(dag_run.logical_date or dag_run.run_after)"


@task
def tell(report: dict[str, Any]) -> str:
    """Print and return the results as a sentence."""
    found = report["results"]
    sentence = f"{found['day']}: {found['visits']:,} visits, {report['executed_notebook']}"
    print(sentence)
    return sentence


with DAG(
    "after_a_schedule",
    schedule="@daily",
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    catchup=False,
    default_args={"retries": 3},
    is_paused_upon_creation=True,  # an example runs only on request
    tags=["notebooks"],
):
    wait = NotebookScheduleRunSensor(
        task_id="wait",
        schedule=os.environ.get("NBJOBS_SCHEDULE", "1234567890"),
        location=os.environ.get("NBJOBS_LOCATION", "us-central1"),
        interval_start=f"{{{{ {MOMENT} - macros.timedelta(days=1) }}}}",
        interval_end=f"{{{{ {MOMENT} }}}}",
        poke_interval=float(os.environ.get("NBJOBS_POLL_INTERVAL", "5")),
        timeout=12 * 3600,
        deferrable=True,
    )
    tell(wait.output)

"""Run the notebook of a schedule of Vertex AI now, with parameters.

The job is as the schedule describes it, and is shown under the schedule. The schedule itself is not changed, and may be
paused.

``NBJOBS_SCHEDULE`` is the id or the name of the schedule. ``hello_notebook.py`` describes the other environment
variables, the bucket and the packages.
"""

import os

from airflow.sdk import DAG

from airflow_nbjobs.operators import RunNotebookScheduleOperator

with DAG("run_a_schedule_now", schedule=None, tags=["notebooks"], default_args={"retries": 3}):
    RunNotebookScheduleOperator(
        task_id="report",
        schedule=os.environ.get("NBJOBS_SCHEDULE", "1234567890"),
        location=os.environ.get("NBJOBS_LOCATION", "us-central1"),
        parameters={"day": "{{ (dag_run.logical_date or dag_run.run_after) | ds }}"},
        poll_interval=float(os.environ.get("NBJOBS_POLL_INTERVAL", "5")),
        deferrable=True,
    )

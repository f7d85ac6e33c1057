"""Run a notebook for each day, and use its results in a Python task.

The task returns a dict with the results of the notebook under ``results``. This notebook reports them with the last
line of its cell tagged ``result``. If scrapbook is installed in the notebook's environment, ``scrapbook.glue("total",
42)`` does the same.

For a backfill of several days: ``airflow dags unpause daily_report``, then ``airflow backfill create --dag-id
daily_report --from-date 2026-11-16 --to-date 2026-11-22``. A manual run may have no logical date; it reports on the day
on which it starts.

``hello_notebook.py`` describes the environment variables, the bucket and the packages.
"""

import os
from typing import Any

import pendulum
from airflow.sdk import DAG, task

from airflow_nbjobs.operators import CreateNotebookExecutionJobOperator

BUCKET = os.environ.get("NBJOBS_BUCKET", "nbjobs-examples")


@task
def tell(report: dict[str, Any]) -> str:
    """Print and return the results as a sentence."""
    found = report["results"]
    sentence = f"{found['day']}: {found['visits']:,} visits, most of them at {found['busiest_hour']}:00"
    print(sentence)
    return sentence


with DAG(
    "daily_report",
    schedule="@daily",
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    catchup=False,
    default_args={"retries": 3},
    is_paused_upon_creation=True,  # an example runs only on request
    tags=["notebooks"],
):
    report = CreateNotebookExecutionJobOperator(
        task_id="report",
        notebook="notebooks/visits.ipynb",  # in the folder of this file; its content is sent
        parameters={"day": "{{ (dag_run.logical_date or dag_run.run_after) | ds }}", "hours": 24},
        gcs_output_uri=f"gs://{BUCKET}/runs",
        location=os.environ.get("NBJOBS_LOCATION", "us-central1"),
        runtime_template=os.environ.get("NBJOBS_RUNTIME_TEMPLATE", "1234567890"),
        service_account=os.environ.get("NBJOBS_SERVICE_ACCOUNT", "notebooks@local.iam.gserviceaccount.com"),
        poll_interval=float(os.environ.get("NBJOBS_POLL_INTERVAL", "5")),
        deferrable=True,
    )
    tell(report.output)

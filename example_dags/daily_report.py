"""A notebook for each day: the day goes in, numbers come out, and a task of Python goes on with them.

The task returns a dict; what the notebook reports is under ``results``. This notebook reports by the last line of its
cell tagged ``result``; with scrapbook in the notebook's environment, ``scrapbook.glue("total", 42)`` does the same.

A backfill asks for each of its days and gets as many different results: ``airflow dags unpause daily_report``, then
``airflow backfill create --dag-id daily_report --from-date 2026-11-16 --to-date 2026-11-22``. A run that somebody
starts by hand may have no logical date: it is for the day on which it starts.

The environment variables, the bucket and the packages are those of ``hello_notebook.py``.
"""

import os
from typing import Any

import pendulum
from airflow.sdk import DAG, task

from airflow_nbjobs.operators import CreateNotebookExecutionJobOperator

BUCKET = os.environ.get("NBJOBS_BUCKET", "nbjobs-examples")


@task
def tell(report: dict[str, Any]) -> str:
    """Make a sentence of what the notebook found, as one would for a message or a row of a table."""
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
    is_paused_upon_creation=True,  # an example runs when somebody asks for it
    tags=["notebooks"],
):
    report = CreateNotebookExecutionJobOperator(
        task_id="report",
        notebook="notebooks/visits.ipynb",  # beside this file; its content is sent along
        parameters={"day": "{{ (dag_run.logical_date or dag_run.run_after) | ds }}", "hours": 24},
        unknown_parameters="fail",  # a parameter that the notebook does not know is a slip of the pen
        gcs_output_uri=f"gs://{BUCKET}/runs",
        location=os.environ.get("NBJOBS_LOCATION", "us-central1"),
        runtime_template=os.environ.get("NBJOBS_RUNTIME_TEMPLATE", "1234567890"),
        service_account=os.environ.get("NBJOBS_SERVICE_ACCOUNT", "notebooks@local.iam.gserviceaccount.com"),
        poll_interval=float(os.environ.get("NBJOBS_POLL_INTERVAL", "5")),
        deferrable=True,
    )
    tell(report.output)

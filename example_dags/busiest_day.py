"""Run a notebook for several days at once, and find the busiest day: mapped ``@task.notebook``.

The function returns the parameters of the notebook, in Python instead of templates. It gets values of Airflow's context
by name. The decorator has the arguments of the operator. The next task gets the results of all notebooks as a list.

``hello_notebook.py`` describes the environment variables, the bucket and the packages.
"""

import os
from datetime import timedelta
from typing import Any

from airflow.sdk import DAG, task

BUCKET = os.environ.get("NBJOBS_BUCKET", "nbjobs-examples")


@task.notebook(
    notebook="notebooks/visits.ipynb",  # in the folder of this file; its content is sent
    gcs_output_uri=f"gs://{BUCKET}/runs",
    location=os.environ.get("NBJOBS_LOCATION", "us-central1"),
    runtime_template=os.environ.get("NBJOBS_RUNTIME_TEMPLATE", "1234567890"),
    service_account=os.environ.get("NBJOBS_SERVICE_ACCOUNT", "notebooks@local.iam.gserviceaccount.com"),
    poll_interval=float(os.environ.get("NBJOBS_POLL_INTERVAL", "5")),
    deferrable=True,
)
def visits(days_ago: int, dag_run: Any = None) -> dict[str, Any]:
    """Return the day that the notebook reports on."""
    day = (dag_run.logical_date or dag_run.run_after) - timedelta(days=days_ago)
    return {"day": f"{day:%Y-%m-%d}", "hours": 24}


@task
def busiest(reports: list[dict[str, Any]]) -> str:
    """Pick the day with the most visits."""
    found = max((report["results"] for report in reports), key=lambda results: results["visits"])
    print(f"The busiest day was {found['day']}, with {found['visits']:,} visits.")
    return str(found["day"])


with DAG("busiest_day", schedule=None, tags=["notebooks"], default_args={"retries": 3}):
    busiest(visits.expand(days_ago=[1, 2, 3]))

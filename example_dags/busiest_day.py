"""The same notebook for several days at once, and the busiest of them: ``@task.notebook``, mapped.

The function says which parameters the notebook gets, in Python instead of templates, and may ask for Airflow's context
by name. The decorator's arguments are the operator's. What the notebooks report comes to the next task as a list.

The environment variables, the bucket and the packages are those of ``hello_notebook.py``.
"""

import os
from datetime import timedelta
from typing import Any

from airflow.sdk import DAG, task

BUCKET = os.environ.get("NBJOBS_BUCKET", "nbjobs-examples")


@task.notebook(
    notebook="notebooks/visits.ipynb",  # beside this file; its content is sent along
    gcs_output_uri=f"gs://{BUCKET}/runs",
    location=os.environ.get("NBJOBS_LOCATION", "us-central1"),
    runtime_template=os.environ.get("NBJOBS_RUNTIME_TEMPLATE", "1234567890"),
    service_account=os.environ.get("NBJOBS_SERVICE_ACCOUNT", "notebooks@local.iam.gserviceaccount.com"),
    poll_interval=float(os.environ.get("NBJOBS_POLL_INTERVAL", "5")),
    deferrable=True,
)
def visits(days_ago: int, dag_run: Any = None) -> dict[str, Any]:
    """Say which day the notebook is to report on."""
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

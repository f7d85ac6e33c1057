"""Run a notebook that is an asset, and start another DAG each time that it has succeeded.

``asset="visits_report"`` makes the executed notebook an outlet of the task. The asset has one name for all runs, since
Airflow knows assets before a run; the event of each run carries the executed notebook's URI, its generation and the
results. The second DAG is scheduled on the asset, and reads the event.

``hello_notebook.py`` describes the environment variables, the bucket and the packages.
"""

import os
from typing import Any

from airflow.sdk import DAG, Asset, task

from airflow_nbjobs.operators import CreateNotebookExecutionJobOperator

BUCKET = os.environ.get("NBJOBS_BUCKET", "nbjobs-examples")
REPORT = Asset("visits_report")

with DAG("notebook_as_asset", schedule=None, tags=["notebooks"], default_args={"retries": 3}):
    CreateNotebookExecutionJobOperator(
        task_id="report",
        asset=REPORT,
        notebook="notebooks/visits.ipynb",  # in the folder of this file; its content is sent
        parameters={"day": "2026-11-22", "hours": 24},
        gcs_output_uri=f"gs://{BUCKET}/runs",
        location=os.environ.get("NBJOBS_LOCATION", "us-central1"),
        runtime_template=os.environ.get("NBJOBS_RUNTIME_TEMPLATE", "1234567890"),
        service_account=os.environ.get("NBJOBS_SERVICE_ACCOUNT", "notebooks@local.iam.gserviceaccount.com"),
        poll_interval=float(os.environ.get("NBJOBS_POLL_INTERVAL", "5")),
        deferrable=True,
    )


@task
def tell(triggering_asset_events: Any = None) -> list[str]:
    """Print and return a sentence for each notebook that has succeeded since the last run."""
    sentences = []
    for event in triggering_asset_events[REPORT]:
        found = event.extra["results"]
        sentences.append(f"{found['day']}: {found['visits']:,} visits ({event.extra['executed_notebook']})")
    print("\n".join(sentences))
    return sentences


with DAG("after_the_notebook", schedule=[REPORT], tags=["notebooks"]):
    tell()

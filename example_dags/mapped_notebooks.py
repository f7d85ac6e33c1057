"""Run several notebooks at once, one task for each.

The notebooks are in the folder of this file. Their content is sent, and no upload is needed.

``hello_notebook.py`` describes the environment variables, the bucket and the packages.
"""

import os

from airflow.sdk import DAG

from airflow_nbjobs.operators import CreateNotebookExecutionJobOperator

BUCKET = os.environ.get("NBJOBS_BUCKET", "nbjobs-examples")

with DAG("mapped_notebooks", schedule=None, tags=["notebooks"], default_args={"retries": 3}):
    CreateNotebookExecutionJobOperator.partial(
        task_id="reports",
        map_index_template="{{ task.notebook }}",  # names of the tasks in the UI
        gcs_output_uri=f"gs://{BUCKET}/runs",
        location=os.environ.get("NBJOBS_LOCATION", "us-central1"),
        runtime_template=os.environ.get("NBJOBS_RUNTIME_TEMPLATE", "1234567890"),
        service_account=os.environ.get("NBJOBS_SERVICE_ACCOUNT", "notebooks@local.iam.gserviceaccount.com"),
        poll_interval=float(os.environ.get("NBJOBS_POLL_INTERVAL", "5")),
        deferrable=True,
    ).expand(notebook=["notebooks/wine.ipynb", "notebooks/diabetes.ipynb", "notebooks/digits.ipynb"])

"""Run a notebook that fails, and read the end of the task's log.

The log shows which cell raised, the line and the code around it, the traceback, what the cell printed before, how long
the job ran, the executed notebook, and links to Google's console. The exception has most of it in one line.

A retry would not help after an error in a cell: this task has retries, but does not use them for such an error
(``retry_on_notebook_error=False``). It uses them for other errors, such as a lost connection.

``hello_notebook.py`` describes the environment variables, the bucket and the packages.
"""

import os
from datetime import timedelta

from airflow.sdk import DAG

from airflow_nbjobs.operators import CreateNotebookExecutionJobOperator

BUCKET = os.environ.get("NBJOBS_BUCKET", "nbjobs-examples")

with DAG("failing_notebook", schedule=None, tags=["notebooks"]) as dag:
    CreateNotebookExecutionJobOperator(
        task_id="average",
        notebook="notebooks/average.ipynb",  # in the folder of this file; its content is sent
        parameters={"readings": []},
        gcs_output_uri=f"gs://{BUCKET}/runs",
        location=os.environ.get("NBJOBS_LOCATION", "us-central1"),
        runtime_template=os.environ.get("NBJOBS_RUNTIME_TEMPLATE", "1234567890"),
        service_account=os.environ.get("NBJOBS_SERVICE_ACCOUNT", "notebooks@local.iam.gserviceaccount.com"),
        poll_interval=float(os.environ.get("NBJOBS_POLL_INTERVAL", "5")),
        retries=2,
        retry_delay=timedelta(seconds=5),
        retry_on_notebook_error=False,
        log_output="all",
        deferrable=True,
    )

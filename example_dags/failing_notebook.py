"""What it looks like when a notebook fails: run this one, and read the end of the task's log.

It says which cell raised, the line and the code around it, the traceback, what the cell printed before, how long the
job ran, where the executed notebook is, and where Google's console shows more. The exception itself says the most of
it in one line.

A cell that raises is no accident of a machine: this task has retries, and does not use them for it
(``retry_on_notebook_error``). They are for what may go better the next time.

The environment variables, the bucket and the packages are those of ``hello_notebook.py``.
"""

import os
from datetime import timedelta

from airflow.sdk import DAG

from airflow_nbjobs.operators import CreateNotebookExecutionJobOperator

BUCKET = os.environ.get("NBJOBS_BUCKET", "nbjobs-examples")

with DAG("failing_notebook", schedule=None, tags=["notebooks"]) as dag:
    CreateNotebookExecutionJobOperator(
        task_id="average",
        notebook="notebooks/average.ipynb",  # beside this file; its content is sent along
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

"""Start a notebook, do other work, wait for the notebook, and delete its job.

The create task does not wait, and releases its worker slot at once. The sensor waits in the triggerer. The delete task
is a teardown: it also runs if the notebook failed, and does not change the outcome of the DAG run. It deletes the
service's record of the job; the executed notebook stays in Cloud Storage.

``hello_notebook.py`` describes the environment variables, the bucket and the packages.
"""

import os

from airflow.sdk import DAG, task

from airflow_nbjobs.operators import CreateNotebookExecutionJobOperator, DeleteNotebookExecutionJobOperator
from airflow_nbjobs.sensors import NotebookExecutionJobSensor

BUCKET = os.environ.get("NBJOBS_BUCKET", "nbjobs-examples")


@task
def work_meanwhile() -> None:
    """Do work that does not need the notebook."""


with DAG("start_now_wait_later", schedule=None, tags=["notebooks"], default_args={"retries": 3}):
    start = CreateNotebookExecutionJobOperator(
        task_id="start",
        notebook="notebooks/diabetes.ipynb",  # in the folder of this file; its content is sent
        gcs_output_uri=f"gs://{BUCKET}/runs",
        location=os.environ.get("NBJOBS_LOCATION", "us-central1"),
        runtime_template=os.environ.get("NBJOBS_RUNTIME_TEMPLATE", "1234567890"),
        service_account=os.environ.get("NBJOBS_SERVICE_ACCOUNT", "notebooks@local.iam.gserviceaccount.com"),
        wait_for_completion=False,
    )
    wait = NotebookExecutionJobSensor(
        task_id="wait",
        job_name=start.output,
        poke_interval=float(os.environ.get("NBJOBS_POLL_INTERVAL", "5")),
        deferrable=True,
    )
    tidy_up = DeleteNotebookExecutionJobOperator(task_id="tidy_up", job_name=start.output)
    start >> [work_meanwhile(), wait] >> tidy_up.as_teardown(setups=start)

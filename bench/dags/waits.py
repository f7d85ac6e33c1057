"""A deferred task for the measured triggerer; no worker runs it."""

from airflow.sdk import DAG

from airflow_nbjobs.operators import CreateNotebookExecutionJobOperator

with DAG("bench_waits", schedule=None, is_paused_upon_creation=True):
    CreateNotebookExecutionJobOperator(
        task_id="report",
        location="us-central1",
        notebook="gs://notebooks/report.ipynb",
        runtime_template="1234",
        service_account="runner@local.iam.gserviceaccount.com",
        gcs_output_uri="gs://results/runs",
        deferrable=True,
    )

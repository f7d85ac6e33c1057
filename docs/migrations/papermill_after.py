"""The same notebook on its own machine."""

from datetime import timedelta

from airflow.sdk import DAG

from airflow_nbjobs.operators import CreateNotebookExecutionJobOperator

with DAG("report", schedule="@daily", default_args={"retries": 3}) as dag:
    CreateNotebookExecutionJobOperator(
        task_id="report",
        notebook="gs://my-bucket/visits.ipynb",
        gcs_output_uri="gs://my-bucket/runs",
        parameters={"day": "{{ dag_run.run_after | ds }}"},
        location="us-central1",
        runtime_template="1234567890",
        service_account="notebooks@my-project.iam.gserviceaccount.com",
        execution_timeout=timedelta(hours=1),
        deferrable=True,
    )

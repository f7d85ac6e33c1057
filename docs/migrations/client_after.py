"""The same job, once for all retries, and without a worker while it runs."""

from airflow.sdk import DAG

from airflow_nbjobs.operators import CreateNotebookExecutionJobOperator

with DAG("report", schedule="@daily", default_args={"retries": 3}) as dag:
    CreateNotebookExecutionJobOperator(
        task_id="report",
        display_name="report",
        notebook="gs://my-bucket/visits.ipynb",
        gcs_output_uri="gs://my-bucket/runs",
        location="us-central1",
        project_id="my-project",
        runtime_template="1234567890",
        service_account="notebooks@my-project.iam.gserviceaccount.com",
        deferrable=True,
    )

"""A function that creates a job and polls it, in a worker."""

import time

from airflow.sdk import DAG, task
from google.cloud import aiplatform_v1

PARENT = "projects/my-project/locations/us-central1"


@task
def report() -> None:
    """Run the notebook."""
    client = aiplatform_v1.NotebookServiceClient(
        client_options={"api_endpoint": "us-central1-aiplatform.googleapis.com"}
    )
    job = {
        "display_name": "report",
        "gcs_notebook_source": {"uri": "gs://my-bucket/visits.ipynb"},
        "gcs_output_uri": "gs://my-bucket/runs",
        "notebook_runtime_template_resource_name": f"{PARENT}/notebookRuntimeTemplates/1234567890",
        "service_account": "notebooks@my-project.iam.gserviceaccount.com",
    }
    operation = client.create_notebook_execution_job(parent=PARENT, notebook_execution_job=job)
    name = operation.operation.name.partition("/operations/")[0]
    while True:
        found = client.get_notebook_execution_job(name=name)
        if found.job_state.name == "JOB_STATE_SUCCEEDED":
            return
        if found.job_state.name in ("JOB_STATE_FAILED", "JOB_STATE_CANCELLED", "JOB_STATE_EXPIRED"):
            raise RuntimeError(found.status.message)
        time.sleep(30)


with DAG("report", schedule="@daily") as dag:
    report()

"""Airflow's schedule, with parameters, retries and backfills."""

from airflow.sdk import DAG, CronDataIntervalTimetable

from airflow_nbjobs.operators import CreateNotebookExecutionJobOperator

with DAG("report", schedule=CronDataIntervalTimetable("0 6 * * *", timezone="Europe/Berlin")) as dag:
    CreateNotebookExecutionJobOperator(
        task_id="report",
        notebook="gs://my-bucket/visits.ipynb",
        gcs_output_uri="gs://my-bucket/runs",
        parameters={"day": "{{ dag_run.run_after | ds }}"},
        location="us-central1",
        runtime_template="1234567890",
        service_account="notebooks@my-project.iam.gserviceaccount.com",
        deferrable=True,
    )

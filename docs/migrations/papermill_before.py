"""A notebook that runs in the worker."""

from datetime import timedelta

from airflow.providers.papermill.operators.papermill import PapermillOperator
from airflow.sdk import DAG

with DAG("report", schedule="@daily", default_args={"retries": 3}) as dag:
    PapermillOperator(
        task_id="report",
        input_nb="/srv/notebooks/visits.ipynb",
        output_nb="gs://my-bucket/runs/{{ ds }}.ipynb",
        parameters={"day": "{{ ds }}"},
        execution_timeout=timedelta(hours=1),
    )

"""A notebook of a Databricks workspace."""

from airflow.providers.databricks.operators.databricks import DatabricksNotebookOperator
from airflow.sdk import DAG

with DAG("report", schedule="@daily", default_args={"retries": 3}) as dag:
    DatabricksNotebookOperator(
        task_id="report",
        notebook_path="/Shared/report",
        source="WORKSPACE",
        notebook_params={"day": "{{ ds }}"},
        existing_cluster_id="1201-small",
        polling_period_seconds=30,
        deferrable=True,
    )

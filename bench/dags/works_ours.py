"""Tasks that wait in every way: sensors for given jobs, operators for their own."""

from datetime import timedelta
from typing import Any

from airflow.sdk import DAG

from airflow_nbjobs.operators import CreateNotebookExecutionJobOperator
from airflow_nbjobs.sensors import NotebookExecutionJobSensor

SENSORS: dict[str, dict[str, Any]] = {
    "sensor_sync": {"mode": "poke"},
    "sensor_reschedule": {"mode": "reschedule"},
    "sensor_deferrable": {"deferrable": True},
}
BOTH: dict[str, Any] = {
    "do_xcom_push": False,  # simulated jobs have no executed notebook, and it is not looked for then
    # Airflow 3.3.2 may take a process that has just deferred for a dead one.
    "retries": 2,
    "retry_delay": timedelta(seconds=1),
}

for name, arguments in SENSORS.items():
    with DAG(f"bench_{name}", schedule=None):
        for number in range(5):
            NotebookExecutionJobSensor(
                task_id=f"wait_{number}",
                job_name=f"{{{{ dag_run.conf['jobs'][{number}] }}}}",
                poke_interval=10,
                **arguments,
                **BOTH,
            )

for name, is_deferrable in (("create_sync", False), ("create_deferrable", True)):
    with DAG(f"bench_{name}", schedule=None):
        for number in range(5):
            CreateNotebookExecutionJobOperator(
                task_id=f"run_{number}",
                location="us-central1",
                notebook="gs://notebooks/report.ipynb",
                runtime_template="1234",
                service_account="runner@local.iam.gserviceaccount.com",
                gcs_output_uri="gs://results/runs",
                poll_interval=10,
                deferrable=is_deferrable,
                **BOTH,
            )

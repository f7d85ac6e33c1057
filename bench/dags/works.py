"""Tasks that wait for jobs which somebody else has made, in each of the ways that a task can wait."""

from datetime import timedelta
from typing import Any

from airflow.sdk import DAG

from airflow_nbjobs.sensors import NotebookExecutionJobSensor

MODES: dict[str, dict[str, Any]] = {
    "sync": {"mode": "poke"},
    "reschedule": {"mode": "reschedule"},
    "deferrable": {"deferrable": True},
}

for name, arguments in MODES.items():
    with DAG(f"bench_{name}", schedule=None):
        for number in range(5):
            NotebookExecutionJobSensor(
                task_id=f"wait_{number}",
                job_name=f"{{{{ dag_run.conf['jobs'][{number}] }}}}",
                poke_interval=5,
                do_xcom_push=False,  # simulated jobs leave no notebook, and nobody looks for one then
                # Airflow 3.3.2 may take a process that has just handed its task back for one that died with it.
                retries=2,
                retry_delay=timedelta(seconds=1),
                **arguments,
            )

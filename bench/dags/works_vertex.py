"""The peer's tasks, in another file: a task's process imports the whole file of its DAG."""

from datetime import timedelta

from airflow.sdk import DAG

from bench.vertex_operator import Operator

with DAG("bench_vertex", schedule=None):
    for number in range(5):
        Operator(
            task_id=f"run_{number}",
            job=f"{{{{ dag_run.conf['jobs'][{number}] }}}}",
            poll_interval=10,
            do_xcom_push=False,
            retries=2,
            retry_delay=timedelta(seconds=1),
        )

"""The peer's tasks, in a file of their own: a task's process reads the whole file that its DAG is in."""

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

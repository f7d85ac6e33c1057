"""Notebooks of a wave and of a trial; labels tell the tasks apart, so that no notebook is staged for each."""

from __future__ import annotations

import json
import os
from datetime import timedelta

from airflow.sdk import DAG

from airflow_nbjobs.operators import CreateNotebookExecutionJobOperator

for dag_id, count in json.loads(os.environ["SIZING_DAGS"]).items():
    with DAG(dag_id, schedule=None, max_active_tasks=1000, max_active_runs=1000):
        CreateNotebookExecutionJobOperator.partial(
            task_id="notebook",
            project_id="sizing",
            location="us-central1",
            notebook="gs://sizing/notebook.ipynb",
            runtime_template="1",
            service_account="runner@local.iam.gserviceaccount.com",
            gcs_output_uri="gs://sizing/runs",
            deferrable=True,
            retries=8,
            retry_delay=timedelta(seconds=5),
            retry_exponential_backoff=2,
            max_retry_delay=timedelta(seconds=60),
        ).expand(labels=[{"run": "{{ run_id }}", "number": str(number)} for number in range(count)])

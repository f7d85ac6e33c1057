"""The tasks that the tests of the tab look at, each in another state at the end."""

import os
from datetime import timedelta
from typing import Any

from airflow.sdk import DAG, task

from airflow_nbjobs.operators import CreateNotebookExecutionJobOperator as Create
from airflow_nbjobs.sensors import NotebookExecutionJobSensor

KERNEL = {"name": "python3", "display_name": "Python 3", "language": "python"}
JOB = {
    "location": "us-central1",
    "gcs_output_uri": "gs://nbjobs-examples/runs",
    "runtime_template": "1234567890",
    "service_account": "notebooks@local.iam.gserviceaccount.com",
    "deferrable": True,
    "poll_interval": 1,
}


def notebook(*cells: tuple[str, str]) -> dict[str, Any]:
    """Return a notebook of code cells, each with a tag or an empty one."""
    return {
        "cells": [
            {
                "cell_type": "code",
                "id": f"cell-{number}",
                "execution_count": None,
                "metadata": {"tags": [tag]} if tag else {},
                "outputs": [],
                "source": source,
            }
            for number, (tag, source) in enumerate(cells)
        ],
        "metadata": {"kernelspec": KERNEL},
        "nbformat": 4,
        "nbformat_minor": 5,
    }


GATE = f"import os, time\nwhile not os.path.exists({os.environ.get('NBJOBS_UI_GATE', '')!r}): time.sleep(0.2)"
VISITS = notebook(
    ("parameters", "day = ''\nlimit = 1"),
    ("", "import time\ntime.sleep(1.2)\nprint('visits of', day)"),
    ("result", "print({'visitors': 42, 'region': 'north'})"),
)

with DAG("ann_notebooks", schedule=None, default_args={"retries": 5, "retry_delay": timedelta(seconds=1)}):
    plot = Create(task_id="plot", notebook="gs://nbjobs-examples/notebooks/wine.ipynb", **JOB)
    Create(task_id="visits", notebook=VISITS, parameters={"day": "2026-11-22", "limit": 5}, **JOB)
    Create(
        task_id="broken",
        notebook=notebook(
            ("", "rows = []"), ("", "\n".join(["print('reading')"] * 60)), ("", "sum(rows) / len(rows)"), ("", "1")
        ),
        retry_on_notebook_error=False,
        **JOB,
    )
    Create.partial(
        task_id="squares", notebook=notebook(("parameters", "number = 0"), ("", "print('square', number**2)")), **JOB
    ).expand(parameters=[{"number": 3}, {"number": 4}])
    Create(task_id="lost", notebook=notebook(("", "print('soon gone')")), **JOB)
    Create(task_id="slow", notebook=notebook(("", GATE), ("", "print('the gate is open')")), **JOB)
    NotebookExecutionJobSensor(task_id="wait", job_name=plot.output, poke_interval=1, location="us-central1")

    @task
    def other() -> None:
        """Run no notebook."""

    other()

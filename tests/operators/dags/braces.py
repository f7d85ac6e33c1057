"""Notebooks and templates in every place where a DAG can have them."""

from __future__ import annotations

from typing import Any

from airflow.sdk import DAG, task, task_group

from airflow_nbjobs.operators import (
    CreateNotebookExecutionJobOperator,
    DeleteNotebookExecutionJobOperator,
    GetNotebookExecutionJobOperator,
    InlineNotebook,
    ListNotebookExecutionJobsOperator,
)
from airflow_nbjobs.sensors import NotebookExecutionJobSensor

# Backwards, so that the file's own text, which Airflow keeps, does not have it.
CANARY = "enim-a-ni-yranac"[::-1]


def notebook(comment: str) -> dict[str, Any]:
    """Return a notebook whose code has what template engines look for."""
    source = f"x = '{{{{ ds }}}} {{% if %}} {{# no #}}'  # {comment}"
    cell = {"cell_type": "code", "execution_count": None, "metadata": {}, "outputs": [], "source": source}
    return {"cells": [{**cell, "id": "one"}], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}


with DAG(
    "braces",
    schedule=None,
    default_args={
        "location": "us-{{ 'central1' }}",
        "runtime_template": "1234",
        "service_account": "runner@p.iam.gserviceaccount.com",
        "gcs_output_uri": "gs://results",
        "poll_interval": 0.2,
        "poke_interval": 0.2,
        "deferrable": True,
    },
):

    @task
    def make(comment: str) -> dict[str, Any]:
        """Make a notebook."""
        return notebook(comment)

    inline = CreateNotebookExecutionJobOperator(task_id="inline", notebook=notebook(CANARY))
    here = CreateNotebookExecutionJobOperator(task_id="here", notebook=notebook(CANARY), deferrable=False)
    upstream = CreateNotebookExecutionJobOperator(task_id="upstream", notebook=make("made upstream"))
    each_notebook = CreateNotebookExecutionJobOperator.partial(task_id="each_notebook").expand(
        notebook=["gs://notebooks/{{ task.task_id }}.ipynb", InlineNotebook(notebook(CANARY))]
    )
    each_made = CreateNotebookExecutionJobOperator.partial(task_id="each_made").expand(
        notebook=make.override(task_id="make_each").expand(comment=["first", "second"])
    )
    each_label = CreateNotebookExecutionJobOperator.partial(
        task_id="each_label", notebook=InlineNotebook(notebook(CANARY))
    ).expand(labels=[{"n": "one-{{ ti.map_index }}"}, {"n": "two-{{ ti.map_index }}"}])

    NotebookExecutionJobSensor.partial(task_id="each_wait").expand(job_name=each_label.output)
    GetNotebookExecutionJobOperator.partial(task_id="each_look").expand(job_name=each_label.output)
    ListNotebookExecutionJobsOperator.partial(task_id="each_list").expand(order_by=["{{ 'create_time' }}"])
    DeleteNotebookExecutionJobOperator.partial(task_id="each_delete", ignore_if_missing=True).expand(job_name=["none"])

    @task_group
    def group(name: str) -> None:
        """Run one notebook and wait for it once more."""
        made = CreateNotebookExecutionJobOperator(
            task_id="run", notebook=f"gs://notebooks/{name}.ipynb", wait_for_completion=False
        )
        NotebookExecutionJobSensor(task_id="wait", job_name=made.output)

    @task_group
    def mapped_group(name: str) -> None:
        """Run one of many notebooks."""
        made = CreateNotebookExecutionJobOperator(
            task_id="run", notebook=name, labels={"nested": "{{ task.task_id.split('.')[-1] }}"}
        )
        GetNotebookExecutionJobOperator(task_id="look", job_name=made.output)

    group("one")
    mapped_group.expand(name=["gs://notebooks/a.ipynb", "gs://notebooks/b.ipynb"])

"""Notebooks for tasks, said in few words, and tasks that run them."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

from airflow_nbjobs.hooks import NotebookExecutionJobHook
from airflow_nbjobs.operators import CreateNotebookExecutionJobOperator
from tests.support.cloud import Cloud
from tests.support.task_runs import JOB, TaskRun

KERNEL = {"name": "python3", "display_name": "Python 3", "language": "python"}


def cell(source: str, *tags: str) -> dict[str, Any]:
    """Return a code cell."""
    metadata = {"tags": list(tags)} if tags else {}
    return {"cell_type": "code", "execution_count": None, "metadata": metadata, "outputs": [], "source": source}


def notebook(*cells: dict[str, Any]) -> dict[str, Any]:
    """Return a notebook of Python."""
    numbered = [{**each, "id": f"cell-{number}"} for number, each in enumerate(cells)]
    return {"cells": numbered, "metadata": {"kernelspec": KERNEL}, "nbformat": 4, "nbformat_minor": 5}


def as_bytes(paper: dict[str, Any]) -> bytes:
    """Return the notebook as a file."""
    return json.dumps(paper).encode()


def task(
    folder: Path | None = None,
    *,
    ti: dict[str, Any] | None = None,
    more_context: dict[str, Any] | None = None,
    **arguments: Any,
) -> TaskRun:
    """Return a run of a create task that reads what its notebook leaves."""
    wanted = {**JOB, "do_xcom_push": True, **arguments}
    make = partial(CreateNotebookExecutionJobOperator, task_id="report", **wanted)
    return TaskRun(make, folder, more_context=more_context, **(ti or {}))


def sent(run: TaskRun) -> dict[str, Any]:
    """Return the job as the service has it, with its content."""
    name = run.ti.xcoms["notebook_execution_job"]["name"]
    return NotebookExecutionJobHook().get_job(name, "NOTEBOOK_EXECUTION_JOB_VIEW_FULL").to_wire()


def jobs(cloud: Cloud) -> list[str]:
    """Return the state of each job of a project that there ever was, the oldest first."""
    return [job["state"].removeprefix("JOB_STATE_") for job in cloud.book()]

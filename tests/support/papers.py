"""Notebooks for tasks, said in few words, and tasks that run them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from airflow_nbjobs.hooks import NotebookExecutionJobHook
from tests.support.cloud import Cloud
from tests.support.task_runs import TaskRun, create

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


def task(folder: Path | None = None, **arguments: Any) -> TaskRun:
    """Return a run of a create task that reads what its notebook leaves, as ``task_runs.create`` makes it."""
    return create(folder, **{"do_xcom_push": True, **arguments})


def sent(run: TaskRun) -> dict[str, Any]:
    """Return the job as the service has it, with its content."""
    return NotebookExecutionJobHook().get_job(run.job_name, "NOTEBOOK_EXECUTION_JOB_VIEW_FULL").to_wire()


def jobs(cloud: Cloud) -> list[str]:
    """Return the state of each job of a project that there ever was, the oldest first."""
    return [job["state"].removeprefix("JOB_STATE_") for job in cloud.book()]

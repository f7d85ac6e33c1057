"""The tasks of the trials: each stops where its trial asks it to, and records its process ids.

There is one DAG for each mode, kind of job ids and kind of limits, and one run for each trial, with its own project at
the emulator. The run's ``conf`` says what the trial needs.
"""

from __future__ import annotations

import os
import time
from datetime import timedelta
from itertools import product
from pathlib import Path
from typing import Any

from airflow.providers.common.compat.sdk import TaskDeferred
from airflow.sdk import DAG

from airflow_nbjobs.operators import CreateNotebookExecutionJobOperator

KINDS: dict[str, dict[str, Any]] = {
    # A try that cannot start counts too, and on a busy machine the API server is away for a minute: the first retry
    # follows at once, the last one minutes later.
    "retried": {
        "retries": 8,
        "retry_delay": timedelta(seconds=2),
        "retry_exponential_backoff": 2,
        "max_retry_delay": timedelta(seconds=60),
    },
    "once": {"retries": 0},
    "bounded": {"retries": 0, "execution_timeout": timedelta(seconds=15)},
}
# Templates; a bounded task has the limit of its execution_timeout.
JOB_TIMEOUT: dict[str, Any] = {
    "retried": "{{ dag_run.conf.get('job_timeout', 900) }}",
    "once": "{{ dag_run.conf.get('job_timeout', 900) }}",
    "bounded": None,
}
_HOLD_SECONDS = 180
_LOOK_SECONDS = 0.05


def _folder(context: Any) -> Path:
    folder = Path(os.environ["CHAOS_FOLDER"]) / str(context["ti"].run_id)
    folder.mkdir(exist_ok=True)
    return folder


def _say_who(context: Any) -> None:
    """Record the ids of this process and of its supervisor."""
    half = _folder(context) / "who.half"
    half.write_text(f"{os.getpid()} {os.getppid()}")
    half.rename(half.with_suffix(""))


def _stop_at(step: str, context: Any) -> None:
    """Stop here in the first try, if the trial asks for it, until the task is killed or let go."""
    asked = context["dag_run"].conf.get("stop_at")
    if asked != step or context["ti"].try_number > 1:
        return
    folder = _folder(context)
    (folder / "stopped").touch()
    end = time.monotonic() + _HOLD_SECONDS
    while not (folder / "go").exists() and time.monotonic() < end:
        time.sleep(_LOOK_SECONDS)


class _Stopping:
    """A task instance that stops before it records anything."""

    def __init__(self, context: Any) -> None:
        self._context = context

    def __getattr__(self, name: str) -> Any:
        return getattr(self._context["ti"], name)

    def xcom_push(self, *args: Any, **kwargs: Any) -> None:
        _stop_at("answered", self._context)
        self._context["ti"].xcom_push(*args, **kwargs)


class StoppingOperator(CreateNotebookExecutionJobOperator):
    """The unchanged operator, with stops between its steps."""

    def pre_execute(self, context: Any) -> None:
        """Record the process ids; stop before the create."""
        _say_who(context)
        _stop_at("begun", context)

    def execute(self, context: Any) -> dict[str, Any]:
        """Stop after the create's answer, before it is recorded, or before the task defers."""
        stopping: Any = {**context, "ti": _Stopping(context)}
        try:
            return super().execute(stopping)
        except TaskDeferred:
            _stop_at("recorded", context)
            raise

    def execute_complete(self, context: Any, event: dict[str, Any]) -> dict[str, Any]:
        """Stop after the event, before the job is read."""
        _stop_at("resumed", context)
        return super().execute_complete(context, event)

    def post_execute(self, context: Any, result: Any = None) -> None:  # noqa: ARG002 - Airflow's interface
        """Stop when the run has finished, before the result is stored."""
        _stop_at("settled", context)


for mode, ids, kind in product(("sync", "deferrable"), ("service", "own"), KINDS):
    with DAG(f"chaos_{mode}_{ids}_{kind}", schedule=None, catchup=False, max_active_runs=1000, max_active_tasks=1000):
        StoppingOperator(
            task_id="notebook",
            project_id="{{ dag_run.conf['project'] }}",
            location="us-central1",
            notebook="gs://chaos/notebook.ipynb",
            runtime_template="1",
            service_account="runner@local.iam.gserviceaccount.com",
            gcs_output_uri="gs://chaos/runs",
            job_timeout=JOB_TIMEOUT[kind],
            deferrable=mode == "deferrable",
            deterministic_job_id=ids == "own",
            poll_interval=1,
            **KINDS[kind],
        )

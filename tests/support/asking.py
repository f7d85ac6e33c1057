"""One task that asks for one job, try after try, and nothing else of Airflow."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from airflow_nbjobs.api import calls
from airflow_nbjobs.api.client import Client
from airflow_nbjobs.api.endpoint import Endpoint
from airflow_nbjobs.api.job import GcsNotebookSource, NotebookExecutionJob
from airflow_nbjobs.emulator import Emulator
from airflow_nbjobs.run.argument_rules import KillPolicy
from airflow_nbjobs.run.identity import TaskIdentity, identify, request_hash
from airflow_nbjobs.run.submit import Request, Submitted, submit

TASK = TaskIdentity(
    deployment="https://airflow.example.com",
    dag_id="reports",
    run_id="scheduled__2026-11-22T00:00:00+00:00",
    task_id="daily",
    map_index=-1,
    try_number=1,
    first_try=1,
    run_started=datetime.now(UTC),
    is_certain=True,
    instance="01a21918-5aaa-7282-9b62-e29513034abc",
)


def wanted_job(notebook: str = "gs://notebooks/report.ipynb") -> NotebookExecutionJob:
    """Return what a user asks for."""
    return NotebookExecutionJob(
        gcs_notebook_source=GcsNotebookSource(uri=notebook),
        notebook_runtime_template_resource_name="projects/p/locations/us-central1/notebookRuntimeTemplates/1",
        service_account="runner@p.iam.gserviceaccount.com",
        gcs_output_uri="gs://results/runs",
    )


def parent() -> str:
    """Return the place of the test's own jobs."""
    return f"projects/{os.environ['GOOGLE_CLOUD_PROJECT']}/locations/us-central1"


@dataclass
class Asking:
    """Tries of a task at the emulator; pauses between looks take no time and are counted.

    :ivar paused: seconds that were waited in all.
    :ivar told: what a person was told.
    :ivar meanwhile: what happens in the first pause that lasts for seconds.
    """

    emulator: Emulator
    paused: float = 0.0
    told: list[str] = field(default_factory=list)
    meanwhile: Callable[[], object] | None = None

    def _sleep(self, seconds: float) -> None:
        self.paused += seconds
        if seconds > 3 and self.meanwhile is not None:
            happens, self.meanwhile = self.meanwhile, None
            happens()

    def ask(
        self,
        task: TaskIdentity = TASK,
        asked: NotebookExecutionJob | None = None,
        *,
        kill: KillPolicy = "cancel",
        job_ids: Iterable[str | None] = (None,),
        takes_failed: bool = False,
        check: Callable[[], None] = lambda: None,
    ) -> Submitted:
        """Have one try ask for its job."""
        wanted = asked or wanted_job()
        job = identify(wanted, task, request_hash(wanted, {}))
        with Client(Endpoint.of_emulator(self.emulator.url), None, sleep=self._sleep) as client:
            request = Request(
                parent=parent(),
                job=job,
                task=task,
                kill=kill,
                job_ids=tuple(job_ids),
                takes_failed=takes_failed,
                warn=self.told.append,
                check=check,
            )
            return client.run_flow(submit(request))

    def carry_out(self, task: TaskIdentity) -> None:
        """Carry out the create of a try whose process is dead."""
        wanted = wanted_job()
        with Client(Endpoint.of_emulator(self.emulator.url), None) as client:
            client.send(calls.create_job(parent(), identify(wanted, task, request_hash(wanted, {}))))

    def states(self) -> list[str]:
        """Return the state of each job that was ever made for the test, the oldest first."""
        return [
            job["state"].removeprefix("JOB_STATE_") for job in self.emulator.book(os.environ["GOOGLE_CLOUD_PROJECT"])
        ]

    def made(self) -> list[str]:
        """Return the id of each job that was ever made for the test, the oldest first."""
        return [job["id"] for job in self.emulator.book(os.environ["GOOGLE_CLOUD_PROJECT"])]

    def next_job_is(self, *states: str) -> None:
        """Say how the next job goes; it is created in the last of these states."""
        self.emulator.fault({"job_state": [f"JOB_STATE_{state}" for state in states], "times": 1})


def retry(task: TaskIdentity = TASK) -> TaskIdentity:
    """Return the automatic retry of a try."""
    return replace(task, try_number=task.try_number + 1)


def clear(task: TaskIdentity = TASK) -> TaskIdentity:
    """Return the try that a person asks for by clearing the task when it is over."""
    return replace(task, try_number=task.try_number + 1, first_try=task.try_number + 1)

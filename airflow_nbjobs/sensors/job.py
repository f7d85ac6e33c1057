"""The sensor that waits for a notebook execution job of another task, DAG or person."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from airflow_nbjobs.api.names import JobName, job_name
from airflow_nbjobs.operators.operator import NotebookJobOperator, explaining_missing
from airflow_nbjobs.sensors.sensor import JobSensor

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context
    from airflow.triggers.base import BaseTrigger

    from airflow_nbjobs.api.job import NotebookExecutionJob

__all__ = ["NotebookExecutionJobSensor"]


class NotebookExecutionJobSensor(JobSensor):
    """Wait until a notebook execution job has SUCCEEDED. The sensor never ends a job.

    All modes (poke, reschedule, deferrable) have the same outcome. A job that ends in another state fails the task
    without retries, since no retry changes it; with ``soft_fail`` or ``never_fail`` the task is skipped. Returns the
    dict of the create operator, which the events of its ``outlets`` carry too.

    :param job_name: resource name of the job, its id (then with ``location``), or the output of a create task
        (templated).
    :raises AirflowFailException: if the job ends in any other state than SUCCEEDED.
    :raises AirflowSensorTimeout: if it does not end within ``timeout`` seconds.
    :raises NotFoundError: if the job does not exist.
    """

    template_fields: Sequence[str] = (*NotebookJobOperator.template_fields, "job_name")

    def __init__(self, *, job_name: str | Mapping[str, Any], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.job_name = job_name
        self.check_name("job_name", job_name)

    def _look(self, context: Context) -> NotebookExecutionJob:
        from airflow_nbjobs.api.waiting import first_look

        name = self._name()
        with explaining_missing():
            if self._seen is not None:
                job = self.hook.get_job(name, patience=self._patience())
            else:  # it may have just been created, and a read may be behind its create
                job = self.hook.run_flow(JobName.parse(name).location, first_look(name), self._patience())
        self._note(job, name, context)
        return job

    def _project(self, job: NotebookExecutionJob | None = None) -> str:
        # The service answers with the number of the project. The user gave its id, which the template's name repeats.
        template = re.match(r"projects/([^/]+)/", (job and job.notebook_runtime_template_resource_name) or "")
        named = (JobName.parse(self._name()).project, template[1] if template else "0")
        ids = (project for project in named if not project.isdigit())
        return self.project_id or next(ids, None) or self.hook.project_id

    def _name(self) -> str:
        return job_name(self.job_name, self._parent)

    def _what(self) -> str:
        return f"The notebook job {self._name()}"

    def _trigger(self, job: NotebookExecutionJob | None, deadline: datetime, context: Context) -> BaseTrigger:  # noqa: ARG002 - for other sensors
        return self._job_trigger(self._name(), job.create_time if job else None, deadline)

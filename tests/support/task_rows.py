"""Task instances as rows of Airflow's database: what the tab reads of a task that ran."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from airflow.models.dag import DagModel
from airflow.models.dagbundle import DagBundleModel
from airflow.models.dagrun import DagRun
from airflow.models.renderedtifields import RenderedTaskInstanceFields
from airflow.models.taskinstance import TaskInstance
from airflow.models.xcom import XComModel
from airflow.utils.session import create_session
from sqlalchemy import delete, insert, select, update

from airflow_nbjobs import settings
from airflow_nbjobs.hooks import NotebookExecutionJobHook
from airflow_nbjobs.run.identity import TaskIdentity
from airflow_nbjobs.run.note import JOB_XCOM
from tests.support.task_runs import REGION

__all__ = ["TaskRow"]


@dataclass
class TaskRow:
    """A task instance in Airflow's database.

    :ivar map_index: -1 for a task that is not mapped.
    """

    dag_id: str
    run_id: str
    task_id: str
    map_index: int = -1

    @classmethod
    def make(
        cls,
        *,
        dag_id: str = "ann_reports",
        task_id: str = "report",
        map_index: int = -1,
        state: str | None = "success",
        try_number: int = 1,
        operator: str = "CreateNotebookExecutionJobOperator",
        **fields: Any,
    ) -> TaskRow:
        """Write a task instance of a new run.

        :param fields: rendered fields.
        """
        row = cls(dag_id, f"manual__2026-12-01T00:00:00+00:00_{uuid.uuid4().hex[:8]}", task_id, map_index)
        with create_session() as session:
            if session.scalar(select(DagBundleModel).where(DagBundleModel.name == "folder")) is None:
                session.add(DagBundleModel(name="folder"))
                session.flush()
            if session.scalar(select(DagModel).where(DagModel.dag_id == dag_id)) is None:
                session.add(DagModel(dag_id=dag_id, bundle_name="folder"))
                session.flush()
            session.add(DagRun(dag_id=dag_id, run_id=row.run_id, run_type="manual", run_after=datetime.now(UTC)))
            session.flush()
            columns = TaskInstance.__table__.c
            session.execute(
                insert(TaskInstance.__table__).values(
                    **row._place,
                    id=columns.id.type.python_type(str(uuid.uuid4())),  # a text on Airflow 3.1
                    state=state,
                    try_number=try_number,
                    max_tries=0,
                    pool="default_pool",
                    pool_slots=1,
                    operator=operator,
                    custom_operator_name="",
                )
            )
            rendered = {"location": REGION, "project_id": None, **fields}
            session.execute(insert(RenderedTaskInstanceFields.__table__).values(**row._place, rendered_fields=rendered))
        return row

    @property
    def _place(self) -> dict[str, Any]:
        return {
            "dag_id": self.dag_id,
            "run_id": self.run_id,
            "task_id": self.task_id,
            "map_index": self.map_index,
        }

    @property
    def key(self) -> str:
        """The key in the names of this task instance's jobs."""
        return TaskIdentity(
            **self._place,
            deployment=settings.deployment(),
            try_number=1,
            first_try=1,
            run_started=None,
            is_certain=True,
        ).key

    def path(self, what: str) -> str:
        """Return the path of a route of the tab."""
        index = self.map_index if self.map_index >= 0 else "{MAP_INDEX}"
        where = "/".join(quote(str(part), safe="") for part in (self.dag_id, self.run_id, self.task_id, index))
        return f"/nbjobs/tasks/{where}/{what}"

    def push(self, key: str, value: Any) -> None:
        """Write an XCom of the current try, as the task or as anybody else who may."""
        with create_session() as session:
            run = session.scalar(select(DagRun.id).where(DagRun.run_id == self.run_id))
            session.execute(
                delete(XComModel.__table__).where(
                    *(getattr(XComModel, name) == value for name, value in self._place.items()), XComModel.key == key
                )
            )
            session.execute(
                insert(XComModel.__table__).values(
                    **self._place, dag_run_id=run, key=key, value=value, timestamp=datetime.now(UTC)
                )
            )

    def note(self, name: str | None) -> None:
        """Write the note of the task's job."""
        self.push(JOB_XCOM, {"v": 1, "name": name, "operation": None, "adopted": False, "attempt": 0})

    def retry(self, state: str | None) -> None:
        """Begin another try: the XComs are gone, and the try so far becomes history."""
        from airflow.models.taskinstancehistory import TaskInstanceHistory

        with create_session() as session:
            where = [getattr(TaskInstance, name) == value for name, value in self._place.items()]
            ti = session.scalar(select(TaskInstance).where(*where))
            assert ti is not None
            session.execute(
                insert(TaskInstanceHistory.__table__).values(
                    **self._place,
                    task_instance_id=ti.id,
                    try_number=ti.try_number,
                    state="failed",
                    pool="default_pool",
                    pool_slots=1,
                    span_status="NOT_STARTED",
                )
            )
            session.execute(
                delete(XComModel.__table__).where(
                    *(getattr(XComModel, name) == value for name, value in self._place.items())
                )
            )
            session.execute(
                update(TaskInstance.__table__).where(*where).values(try_number=ti.try_number + 1, state=state)
            )

    def submit(
        self, *, key: str | None = None, number: int = 1, note: bool = True, job_id: str | None = None, **fields: Any
    ) -> str:
        """Create the job of a try, and return its name.

        :param job_id: by default the service picks one.
        :param key: of another task; ``""`` for a job without one.
        :param fields: of the job, in the service's spelling.
        """
        from airflow_nbjobs.api.job import NotebookExecutionJob
        from airflow_nbjobs.api.names import job_of_operation

        job = {
            "displayName": f"report-{self.key if key is None else key}".rstrip("-"),
            "gcsNotebookSource": {"uri": "gs://results/report.ipynb"},
            "gcsOutputUri": "gs://results/runs",
            "notebookRuntimeTemplateResourceName": "projects/p/locations/us-central1/notebookRuntimeTemplates/1",
            "serviceAccount": "runner@p.iam.gserviceaccount.com",
            "labels": {"nbjobs-try": str(number)},
            **fields,
        }
        hook = NotebookExecutionJobHook()
        operation = hook.create_job(NotebookExecutionJob.from_wire(job), location=REGION, job_id=job_id)
        name = str(job_of_operation(operation.name))
        if note:
            self.note(name)
        return name

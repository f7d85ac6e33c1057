"""Task instances as rows of Airflow's database: what the tab reads of a task that ran."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from airflow.models import xcom
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
from airflow_nbjobs.plugin.regions import has_regions
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
            row._insert(session, state=state, try_number=try_number, operator=operator)
            row._render(session, {"location": REGION, "project_id": None, **fields})
        return row

    def _insert(self, session: Any, **values: Any) -> None:
        table = TaskInstance.__table__
        made = {
            "id": table.c.id.type.python_type(str(uuid.uuid4())),  # a text on Airflow 3.1
            "max_tries": 0,
            "pool": "default_pool",
            "pool_slots": 1,
            "custom_operator_name": "",
        }
        session.execute(insert(table).values(**self._place, **made, **values))

    def _render(self, session: Any, fields: dict[str, Any]) -> None:
        table = RenderedTaskInstanceFields.__table__
        session.execute(insert(table).values(**self._owner(session), rendered_fields=fields, **_own_id()))

    @property
    def _place(self) -> dict[str, Any]:
        index = {"region_index" if has_regions() else "map_index": self.map_index}
        return {"dag_id": self.dag_id, "run_id": self.run_id, "task_id": self.task_id, **index}

    def _owner(self, session: Any) -> dict[str, Any]:
        """Return what XComs and rendered fields belong to: from Airflow 3.4 on the current try."""
        return {"task_instance_id": self._current(session).id} if has_regions() else self._place

    def _current(self, session: Any) -> Any:
        where = [getattr(TaskInstance, name) == value for name, value in self._place.items()]
        return session.scalar(select(TaskInstance).where(*where))

    @property
    def key(self) -> str:
        """The key in the names of this task instance's jobs."""
        return TaskIdentity(
            dag_id=self.dag_id,
            run_id=self.run_id,
            task_id=self.task_id,
            map_index=self.map_index,
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
        table = getattr(xcom, "XComModelV2", XComModel).__table__
        with create_session() as session:
            owner, run = self._owner(session), session.scalar(select(DagRun.id).where(DagRun.run_id == self.run_id))
            session.execute(
                delete(table).where(*(table.c[name] == value for name, value in owner.items()), table.c.key == key)
            )
            more = _own_id() or {"dag_run_id": run}
            session.execute(insert(table).values(**owner, **more, key=key, value=value, timestamp=datetime.now(UTC)))

    def note(self, name: str | None) -> None:
        """Write the note of the task's job."""
        self.push(JOB_XCOM, {"v": 1, "name": name, "operation": None, "adopted": False, "attempt": 0})

    def retry(self, state: str | None) -> None:
        """Begin another try: the try so far becomes history. Its XComs are deleted when the new one starts."""
        with create_session() as session:
            ti = self._current(session)
            if has_regions():
                archived = {"working_set": None, "archived_reason": "retry", "state": "failed"}
                session.execute(update(TaskInstance.__table__).where(TaskInstance.id == ti.id).values(**archived))
                self._insert(session, state=state, try_number=ti.try_number + 1, operator=ti.operator)
                fields = RenderedTaskInstanceFields
                owned = session.scalar(select(fields.rendered_fields).where(fields.task_instance_id == ti.id))
                self._render(session, owned)
                return
            from airflow.models.taskinstancehistory import TaskInstanceHistory

            where = [getattr(TaskInstance, name) == value for name, value in self._place.items()]
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
            if state not in ("scheduled", "queued"):
                session.execute(
                    delete(XComModel.__table__).where(
                        *(getattr(XComModel, name) == value for name, value in self._place.items())
                    )
                )
            session.execute(
                update(TaskInstance.__table__).where(*where).values(try_number=ti.try_number + 1, state=state)
            )

    def await_worker(self) -> None:
        """Let a deferred task wait for the worker in which it resumes."""
        with create_session() as session:
            ti = self._current(session)
            ti.state, ti.next_method = "scheduled", "execute_complete"

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


def _own_id() -> dict[str, Any]:
    """Return an id for a row of Airflow 3.4."""
    return {"id": uuid.uuid4()} if has_regions() else {}

"""A task at work without an Airflow: what a worker and a triggerer do around an operator, in a few lines.

It goes the way that Airflow goes: fields are rendered, a deferral is stored as JSON by Airflow's own serializer, the
trigger is created from it again, and the task is resumed as another object with a copy of its XComs.
"""

from __future__ import annotations

import asyncio
import copy
import json
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import DAG, TaskDeferred
from airflow.sdk.execution_time.context import OutletEventAccessors
from airflow.sdk.module_loading import import_string

from airflow_nbjobs.operators import CreateNotebookExecutionJobOperator
from tests.support import canaries

try:
    from airflow.sdk.serde import deserialize, serialize
except ImportError:  # Airflow 3.1
    from airflow.serialization.serde import deserialize, serialize

RUN_STARTED = datetime.now(UTC)
"""When the one run of the DAG started that all tries of all tasks here are of."""

REGION = "us-central1"
TEMPLATE = "1234"
ACCOUNT = "runner@project.iam.gserviceaccount.com"
SOURCE = f"1 + 1  # {canaries.MARK}"
NOTEBOOK: dict[str, Any] = {
    "cells": [
        {"cell_type": "code", "id": "one", "execution_count": None, "metadata": {}, "outputs": [], "source": SOURCE}
    ],
    "metadata": {},
    "nbformat": 4,
    "nbformat_minor": 5,
}
JOB: dict[str, Any] = {
    "location": REGION,
    "notebook": "gs://notebooks/report.ipynb",
    "runtime_template": TEMPLATE,
    "service_account": ACCOUNT,
    "gcs_output_uri": "gs://results/runs",
    "poll_interval": 0.1,
    "do_xcom_push": False,  # a simulated job leaves no notebook, and nobody looks for one then
}
"""Arguments of a create task that lack nothing."""


@dataclass
class TaskInstance:
    """What operators use of a running task instance; XComs are kept here.

    :ivar first_rescheduled_at: when a process of this try was rescheduled first; no other process was then.
    """

    task_id: str
    dag_id: str = "reports"
    run_id: str = "manual__2026-11-22T00:00:00+00:00"
    map_index: int = -1
    try_number: int = 1
    max_tries: int = 0
    start_date: datetime = field(default_factory=lambda: datetime.now(UTC))
    id: uuid.UUID = field(default_factory=uuid.uuid4)
    bundle_instance: Any = None
    xcoms: dict[str, Any] = field(default_factory=dict)
    first_rescheduled_at: datetime | None = None
    region_id: uuid.UUID | None = None  # of Airflow 3.4

    def xcom_push(self, key: str, value: Any) -> None:
        """Keep a value, as the JSON that a database would hold."""
        self.xcoms[key] = json.loads(json.dumps(value))

    def xcom_pull(self, *, key: str = "return_value", **_: Any) -> Any:
        """Return a value of this task."""
        return copy.deepcopy(self.xcoms.get(key))

    def get_first_reschedule_date(self, _: Any) -> datetime | None:
        """Tell when this try was rescheduled first."""
        return self.first_rescheduled_at


class TaskRun:
    """One try of one task.

    :param operator: made again by each call, since Airflow parses the DAG file for each process.
    :param folder: where the DAG file lies.
    :param starts_when_resumed: whether ``start_date`` is the moment of resuming in a resumed task, as on Airflow 3.1.
    :param more_context: further values of Airflow's context.
    :param known: fields of the task instance.
    """

    def __init__(
        self,
        operator: Any,
        folder: Path | None = None,
        *,
        starts_when_resumed: bool = False,
        more_context: dict[str, Any] | None = None,
        **known: Any,
    ) -> None:
        self._make = operator
        self._folder = folder or Path("/nowhere")
        self.operator = self._new()
        self.ti = TaskInstance(task_id=self.operator.task_id, **known)
        self._starts_when_resumed = starts_when_resumed
        self.more_context = more_context or {}
        self.deferrals: list[TaskDeferred] = []
        self.events: list[dict[str, Any]] = []
        canaries.watch(self)

    def _new(self) -> Any:
        with DAG("reports", schedule=None) as dag:
            operator = self._make()
        dag.fileloc = str(self._folder / "reports.py")
        self.outlet_events = OutletEventAccessors()
        return operator

    @property
    def context(self) -> Any:
        """What Airflow hands to a task."""
        dag_run = SimpleNamespace(start_date=RUN_STARTED, run_id=self.ti.run_id)
        known = {"ti": self.ti, "task": self.operator, "dag": self.operator.dag, "dag_run": dag_run}
        known["outlet_events"] = self.outlet_events
        reschedules = 0 if self.ti.first_rescheduled_at is None else 1
        return {
            **known,
            "run_id": self.ti.run_id,
            "ds": "2026-11-22",
            "params": {},
            "task_reschedule_count": reschedules,
            **self.more_context,
        }

    def execute(self) -> Any:
        """Render the fields and execute, once."""
        self.operator.render_template_fields(self.context)
        return self.operator.execute(self.context)

    def in_another_process(self) -> TaskRun:
        """Let another process of the same try go on: nothing is left of the operator but its XComs."""
        self.operator = self._new()
        return self

    def rescheduled(self) -> TaskRun:
        """Let Airflow run the same try again without using a retry: its XComs are cleared when it starts."""
        self.ti.xcoms.clear()
        self.ti.start_date = datetime.now(UTC)
        self.ti.first_rescheduled_at = self.ti.first_rescheduled_at or self.ti.start_date
        return self.in_another_process()

    @property
    def job_name(self) -> str:
        """The name of the job that the task waits for, by its note."""
        return str(self.ti.xcoms["notebook_execution_job"]["name"])

    def when_it_has_its_job(self, act: Callable[[], object]) -> None:
        """Let something happen, once, as soon as the task has told Airflow of its job."""
        publish: Any = self.ti.xcom_push

        def and_act(key: str, value: Any) -> None:
            self.ti.xcom_push = publish
            publish(key, value)
            act()

        self.ti.xcom_push = and_act

    def defer(self) -> TaskDeferred:
        """Execute, and return the deferral, which must come."""
        with pytest.raises(TaskDeferred) as deferral:
            self.execute()
        return deferral.value

    def to_its_end(self) -> Any:
        """Execute, and go through as many deferrals as the task wants."""
        try:
            return self.execute()
        except TaskDeferred as deferral:
            return self.after(deferral)

    def after(self, deferral: TaskDeferred) -> Any:
        """Run the trigger of a deferral, and resume."""
        self.deferrals.append(deferral)
        self.events.append(asyncio.run(only_event(restored(deferral))))
        try:
            return self.resume(deferral.method_name, {"event": self.events[-1]})
        except TaskDeferred as again:
            return self.after(again)

    def told(self, outcome: str = "done", **more: Any) -> Any:
        """Resume with a trigger's event about the task's own job."""
        event = {"v": 1, "job_name": self.job_name, "outcome": outcome, **more}
        return self.resume("execute_complete", {"event": event})

    def resume(self, method: str, kwargs: dict[str, Any]) -> Any:
        """Resume in another process: nothing is left of the operator that deferred but its XComs."""
        self.operator = self._new()
        if self._starts_when_resumed:
            self.ti.start_date = datetime.now(UTC)
        self.operator.render_template_fields(self.context)
        return self.operator.resume_execution(method, kwargs, self.context)


def create(
    folder: Path | None = None,
    *,
    ti: dict[str, Any] | None = None,
    more_context: dict[str, Any] | None = None,
    starts_when_resumed: bool = False,
    **arguments: Any,
) -> TaskRun:
    """Return a run of a create task that lacks nothing, with some arguments changed; see :class:`TaskRun`."""
    wanted = {"task_id": "report", **JOB, **arguments}
    known = {"max_tries": wanted.get("retries", 0), **(ti or {})}
    make = partial(CreateNotebookExecutionJobOperator, **wanted)
    return TaskRun(make, folder, starts_when_resumed=starts_when_resumed, more_context=more_context, **known)


def submit(**arguments: Any) -> dict[str, Any]:
    """Submit a job, and return what its task returned."""
    return dict(create(task_id="made", wait_for_completion=False, **arguments).execute())


def restored(deferral: TaskDeferred) -> Any:
    """Return the trigger of a deferral as a triggerer makes it, from JSON."""
    path, kwargs = deferral.trigger.serialize()
    assert json.loads(json.dumps(kwargs)) == kwargs
    stored = json.dumps(serialize(kwargs))
    return import_string(path)(**deserialize(json.loads(stored)))


async def only_event(trigger: Any) -> dict[str, Any]:
    """Return the payload of the one event that a trigger yields."""
    (event,) = [json.loads(json.dumps(event.payload)) async for event in trigger.run()]
    return dict(event)

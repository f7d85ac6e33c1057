"""Rendering a task with Airflow's own templating, without running it and without changing a database.

A DAG run is constructed in memory. The task runner's own task instance makes the context from it, and unmaps and
renders the task as on a worker. That part of Airflow is not public; only this module uses it.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pendulum
from airflow.dag_processing.bundles.local import LocalDagBundle
from airflow.sdk.api.datamodels._generated import DagRun, TIRunContext
from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance

from airflow_nbjobs.exceptions import InvalidNotebookJobError

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

__all__ = ["RenderRequest", "render"]


@dataclass(frozen=True, kw_only=True)
class RenderRequest:
    """Which task to render, and for which DAG run.

    :ivar folder: the folder of the DAG files, or one DAG file.
    :ivar map_index: -1 for a task that is not mapped.
    :ivar run_id: ``None`` for the id that Airflow gives to a manual run.
    :ivar conf: the conf of the DAG run, which sets its params.
    :ivar xcoms: return values of upstream tasks, by task id.
    """

    folder: Path
    dag_id: str
    task_id: str
    logical_date: datetime
    map_index: int = -1
    run_id: str | None = None
    conf: Mapping[str, Any] = field(default_factory=dict)
    xcoms: Mapping[str, Any] = field(default_factory=dict)


def render(request: RenderRequest) -> Context:
    """Return the context of a task; its ``task`` is unmapped and rendered.

    :raises InvalidNotebookJobError: if the DAG or the task does not exist, or cannot be rendered.
    """
    dag = _dag(request)
    if request.task_id not in dag.task_dict:
        known = ", ".join(dag.task_dict)
        raise InvalidNotebookJobError(f"The DAG {request.dag_id!r} has no task {request.task_id!r}. It has {known}.")
    task = dag.get_task(request.task_id)
    if task.is_mapped and request.map_index < 0:
        raise InvalidNotebookJobError(f"The task {request.task_id!r} is mapped. Give --map-index, 0 for the first.")
    if not task.is_mapped and request.map_index >= 0:
        raise InvalidNotebookJobError(f"The task {request.task_id!r} is not mapped. Leave --map-index out.")
    scheduled = _as_scheduled(dag)
    _check_index(request, scheduled)
    try:
        run_after = pendulum.instance(request.logical_date)
        interval = scheduled.timetable.infer_manual_data_interval(run_after=run_after)
        ti = _task_instance(request, dag, task, interval)
        context: Context = ti.get_template_context()
        ti.render_templates(context)
    except InvalidNotebookJobError:
        raise
    except Exception as error:  # a DAG's own templates and macros raise anything
        raise InvalidNotebookJobError(
            f"Failed to render the task {request.task_id!r}: {type(error).__name__}: {error}"
        ) from error
    return context


def _dag(request: RenderRequest) -> Any:
    if not request.folder.exists():
        raise InvalidNotebookJobError(f"The DAGs folder {str(request.folder)!r} does not exist. Give --dags-folder.")
    bag = _read(request.folder)
    if request.dag_id in bag.dags:
        return bag.dags[request.dag_id]
    known = f"It has {', '.join(sorted(bag.dags))}. " if bag.dags else ""
    broken = (f" Failed to read {file}: {text.strip().splitlines()[-1]}." for file, text in bag.import_errors.items())
    raise InvalidNotebookJobError(
        f"There is no DAG {request.dag_id!r} in {str(request.folder)!r}. {known}Give its folder with --dags-folder."
        + "".join(broken)
    )


def _read(folder: Path) -> Any:
    try:
        return import_module("airflow.dag_processing.dagbag").DagBag(str(folder))
    except ImportError:  # Airflow 3.1
        return import_module("airflow.models.dagbag").DagBag(str(folder), include_examples=False)


class _TaskInstance(RuntimeTaskInstance):
    """A task instance whose XComs are given, not read from a server."""

    known: dict[str, Any] = {}  # noqa: RUF012 - pydantic copies it

    def xcom_pull(self, task_ids: Any = None, dag_id: Any = None, key: str = "return_value", *_: Any, **__: Any) -> Any:
        """Return the value that was given for a task; with a key, that item of a dict.

        :raises InvalidNotebookJobError: if it was not given.
        """
        if isinstance(task_ids, str):
            return self._given(task_ids, dag_id, key)
        wanted = [self.task_id] if task_ids is None else list(task_ids)
        values = [self._given(each, dag_id, key) for each in wanted]
        return values[0] if len(values) == 1 else values

    def _given(self, task_id: str, dag_id: str | None, key: str) -> Any:
        value = self.known.get(task_id) if dag_id in (None, self.dag_id) else None
        if task_id in self.known and key == "return_value":
            return value
        if isinstance(value, Mapping) and key in value:
            return value[key]
        raise InvalidNotebookJobError(
            f"The task needs the XCom {key!r} of the task {task_id!r}. Give that task's return value: --xcom "
            f"'{task_id}=JSON'."
        )


def _task_instance(request: RenderRequest, dag: Any, task: Any, interval: Any) -> RuntimeTaskInstance:
    folder = request.folder if request.folder.is_dir() else request.folder.parent
    run_id = request.run_id or f"manual__{request.logical_date.isoformat()}"
    now = datetime.now(UTC)
    known = {
        "dag_id": dag.dag_id,
        "run_id": run_id,
        "logical_date": request.logical_date,
        "data_interval_start": interval.start,
        "data_interval_end": interval.end,
        "run_after": now,
        "start_date": now,
        "end_date": None,
        "run_type": "manual",
        "state": "running",
        "conf": json.loads(json.dumps(dict(request.conf))),
        "consumed_asset_events": [],
        "partition_key": None,
    }
    run = DagRun.model_validate({name: value for name, value in known.items() if name in DagRun.model_fields})
    # Not validated: the task may be of several classes, mapped or not.
    ti = _TaskInstance.model_construct(
        id=uuid.uuid4(),
        task_id=task.task_id,
        dag_id=dag.dag_id,
        run_id=run_id,
        try_number=1,
        map_index=request.map_index,
        dag_version_id=uuid.uuid4(),
        task=task,
        bundle_instance=LocalDagBundle(name="render", path=str(folder)),
        start_date=now,
        max_tries=task.retries or 0,
        known=dict(request.xcoms),
    )
    ti._ti_context_from_server = TIRunContext(dag_run=run, max_tries=task.retries or 0)
    return ti


def _as_scheduled(dag: Any) -> Any:
    """Return the DAG as the scheduler has it: with data intervals and the lengths of mapped tasks."""
    module = import_module("airflow.serialization.serialized_objects")
    # Airflow 3.1 has the old name only.
    serialization = getattr(module, "DagSerialization", None) or module.SerializedDAG
    return serialization.from_dict(serialization.to_dict(dag))


def _check_index(request: RenderRequest, scheduled: Any) -> None:
    """Check that the index is not too high, if the length is known. Rendering would start from the first again.

    :raises InvalidNotebookJobError: if it is.
    """
    if request.map_index < 0:
        return
    try:
        length = scheduled.get_task(request.task_id).get_parse_time_mapped_ti_count()
    except Exception:  # noqa: BLE001 - mapped over an XCom: Airflow raises errors of several classes
        return
    if request.map_index >= length:
        raise InvalidNotebookJobError(
            f"--map-index {request.map_index} is too high. The task {request.task_id!r} is mapped to {length}, from 0."
        )

"""A task with its fields rendered by Airflow's own templating, though nothing runs and no database is written to.

A DAG run is made up in memory and given to the task runner's own task instance, which makes the context and unmaps and
renders the task as it does in a worker. That part of Airflow is not public: this module is the only one to touch it.
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
    """Which task to render, and as if in which run.

    :ivar folder: the DAG files', or one DAG file.
    :ivar map_index: of a mapped task; -1 for one that is not.
    :ivar run_id: as Airflow names a run that a person starts, unless given.
    :ivar conf: of the DAG run: its parameters.
    :ivar xcoms: what tasks before this one returned, by their ids.
    """

    folder: Path
    dag_id: str
    task_id: str
    logical_date: datetime
    map_index: int = -1
    run_id: str | None = None
    conf: Mapping[str, Any] = field(default_factory=dict)
    xcoms: Mapping[str, Any] = field(default_factory=dict)


def render(asked: RenderRequest) -> Context:
    """Return the context of a task, its ``task`` unmapped and rendered.

    :raises InvalidNotebookJobError: when there is no such DAG or task, or it cannot be rendered.
    """
    dag = _dag(asked)
    if asked.task_id not in dag.task_dict:
        known = ", ".join(dag.task_dict)
        raise InvalidNotebookJobError(f"The DAG {asked.dag_id!r} has no task {asked.task_id!r}; it has {known}.")
    task = dag.get_task(asked.task_id)
    if task.is_mapped != (asked.map_index >= 0):
        advice = "give --map-index, 0 for the first" if task.is_mapped else "leave --map-index out"
        raise InvalidNotebookJobError(
            f"The task {asked.task_id!r} is {'' if task.is_mapped else 'not '}mapped: {advice}."
        )
    scheduled = _as_scheduled(dag)
    _check_index(asked, scheduled)
    try:
        ti = _task_instance(asked, dag, task, _data_interval(scheduled, asked.logical_date))
        context: Context = ti.get_template_context()
        ti.render_templates(context)
    except InvalidNotebookJobError:
        raise
    except Exception as error:  # a DAG's own templates and macros raise anything
        raise InvalidNotebookJobError(
            f"The task {asked.task_id!r} cannot be rendered: {type(error).__name__}: {error}"
        ) from error
    return context


def _dag(asked: RenderRequest) -> Any:
    if not asked.folder.exists():
        raise InvalidNotebookJobError(f"The folder of DAGs {str(asked.folder)!r} is not there: give --dags-folder.")
    bag = _read(asked.folder)
    if asked.dag_id in bag.dags:
        return bag.dags[asked.dag_id]
    known = f"it has {', '.join(sorted(bag.dags))}" if bag.dags else "it has none"
    broken = [f" {file} cannot be read: {text.strip().splitlines()[-1]}." for file, text in bag.import_errors.items()]
    raise InvalidNotebookJobError(
        f"There is no DAG {asked.dag_id!r} in {str(asked.folder)!r}; {known}. Give its folder with --dags-folder."
        + "".join(broken)
    )


def _read(folder: Path) -> Any:
    try:
        return import_module("airflow.dag_processing.dagbag").DagBag(str(folder))
    except ImportError:  # Airflow 3.1
        return import_module("airflow.models.dagbag").DagBag(str(folder), include_examples=False)


class _TaskInstance(RuntimeTaskInstance):
    """A task instance that has no server to ask for XComs."""

    known: dict[str, Any] = {}  # noqa: RUF012 - pydantic copies it

    def xcom_pull(self, task_ids: Any = None, dag_id: Any = None, key: str = "return_value", *_: Any, **__: Any) -> Any:
        """Return what was given for a task; with another key, that value of a dict."""
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
            f"The task needs the XCom {key!r} of the task {task_id!r}, and a dry run has none: give what that task "
            f"returns as --xcom '{task_id}=JSON'."
        )


def _task_instance(asked: RenderRequest, dag: Any, task: Any, interval: Any) -> RuntimeTaskInstance:
    run_id = asked.run_id or f"manual__{asked.logical_date.isoformat()}"
    now = datetime.now(UTC)
    known = {
        "dag_id": dag.dag_id,
        "run_id": run_id,
        "logical_date": asked.logical_date,
        "data_interval_start": interval.start,
        "data_interval_end": interval.end,
        "run_after": now,
        "start_date": now,
        "end_date": None,
        "run_type": "manual",
        "state": "running",
        "conf": json.loads(json.dumps(dict(asked.conf))),
        "consumed_asset_events": [],
        "partition_key": None,
    }
    run = DagRun.model_validate({name: value for name, value in known.items() if name in DagRun.model_fields})
    # Not validated: on this side of the server a task is one of several classes, mapped or not.
    ti = _TaskInstance.model_construct(
        id=uuid.uuid4(),
        task_id=task.task_id,
        dag_id=dag.dag_id,
        run_id=run_id,
        try_number=1,
        map_index=asked.map_index,
        dag_version_id=uuid.uuid4(),
        task=task,
        bundle_instance=LocalDagBundle(name="render", path=str(_folder(asked))),
        start_date=now,
        max_tries=task.retries or 0,
        known=dict(asked.xcoms),
    )
    ti._ti_context_from_server = TIRunContext(dag_run=run, max_tries=task.retries or 0)
    return ti


def _folder(asked: RenderRequest) -> Path:
    return asked.folder if asked.folder.is_dir() else asked.folder.parent


def _as_scheduled(dag: Any) -> Any:
    """Return the DAG as the scheduler has it, which knows intervals and lengths."""
    module = import_module("airflow.serialization.serialized_objects")
    # Airflow 3.1 has the old name alone.
    serialization = getattr(module, "DagSerialization", None) or module.SerializedDAG
    return serialization.from_dict(serialization.to_dict(dag))


def _data_interval(scheduled: Any, logical_date: datetime) -> Any:
    """Return the interval that a run of this date covers."""
    return scheduled.timetable.infer_manual_data_interval(run_after=pendulum.instance(logical_date))


def _check_index(asked: RenderRequest, scheduled: Any) -> None:
    """Check the index where the length is known; rendering itself begins with the first again after the last."""
    if asked.map_index < 0:
        return
    try:
        length = scheduled.get_task(asked.task_id).get_parse_time_mapped_ti_count()
    except Exception:  # noqa: BLE001 - mapped over an XCom, which Airflow says by errors of several classes
        return
    if asked.map_index >= length:
        raise InvalidNotebookJobError(
            f"--map-index {asked.map_index} is too high: the task {asked.task_id!r} is mapped to {length}, from 0."
        )

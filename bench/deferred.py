"""Deferred tasks in Airflow's database, created with Airflow's own models.

A worker would need a second or two of CPU for each of them. What a triggerer finds is the same: a task instance that is
deferred, of a run of a DAG that is known, and its trigger. No scheduler runs, so a task that learns of its job's end
stays `scheduled`, and its row says when that was.
"""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from airflow.dag_processing.dagbag import DagBag, sync_bag_to_db
from airflow.models.dag_version import DagVersion
from airflow.models.dagbundle import DagBundleModel
from airflow.models.dagrun import DagRun
from airflow.models.serialized_dag import SerializedDagModel
from airflow.models.taskinstance import TaskInstance
from airflow.models.trigger import Trigger
from airflow.utils.session import create_session
from airflow.utils.state import DagRunState, TaskInstanceState
from airflow.utils.types import DagRunTriggeredByType, DagRunType
from sqlalchemy import delete, update

DAG_ID = "bench_waits"
DAGS = Path(__file__).resolve().parent / "dags"
BUNDLE = "dags-folder"


def make(run_id: str, triggers: list[dict[str, Any]], *, keep: bool = False) -> None:
    """Create a run, with a deferred task instance for each trigger: ``{"classpath", "kwargs"}``.

    :param keep: whether to keep the triggers of other runs.
    """
    with create_session() as session:
        if session.get(DagBundleModel, BUNDLE) is None:
            session.add(DagBundleModel(name=BUNDLE))
        if not keep:
            session.execute(update(TaskInstance).values(trigger_id=None))
            session.execute(delete(Trigger))
    bag = DagBag(dag_folder=DAGS / "waits.py", bundle_name=BUNDLE)
    sync_bag_to_db(bag, BUNDLE, bundle_version=None)
    now = datetime.now(UTC)
    with create_session() as session:
        version = DagVersion.get_latest_version(DAG_ID, session=session)
        dag = SerializedDagModel.get_dag(DAG_ID, session=session)
        if version is None or dag is None:
            raise RuntimeError(f"Airflow does not know {DAG_ID}: {bag.import_errors}")
        run = DagRun(
            DAG_ID,
            run_id,
            logical_date=now,
            run_after=now,
            data_interval=(now, now),
            start_date=now,
            state=DagRunState.RUNNING,
            run_type=DagRunType.MANUAL,
            triggered_by=DagRunTriggeredByType.CLI,
        )
        run.created_dag_version_id = version.id
        session.add(run)
        session.flush()
        (task,) = dag.tasks
        for index, known in enumerate(triggers):
            trigger = Trigger(known["classpath"], known["kwargs"])
            session.add(trigger)
            session.flush()
            ti = TaskInstance(task, version.id, run_id, TaskInstanceState.DEFERRED, map_index=index)
            ti.start_date, ti.try_number = now, 1
            ti.trigger_id, ti.trigger_timeout = trigger.id, now + timedelta(hours=1)
            ti.next_method, ti.next_kwargs = "execute_complete", {}
            session.add(ti)


def main(run_id: str, plan: str, keep: str = "") -> None:
    """Create the tasks that a file describes."""
    make(run_id, json.loads(Path(plan).read_text()), keep=bool(keep))


if __name__ == "__main__":
    main(*sys.argv[1:])

"""Airflow's own `dag.test()`, on all versions."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any


def run_whole(dag: Any, **arguments: Any) -> Any:
    """Run a DAG with `dag.test()` and return the run.

    Airflow 3.1.0 runs only a DAG that is in its database; later versions store it there themselves.
    """
    if version("apache-airflow-core") == "3.1.0":
        _store(dag)
    return dag.test(**arguments)


def _store(dag: Any) -> None:
    from airflow.dag_processing.bundles.manager import DagBundlesManager
    from airflow.models.dagbag import DagBag, sync_bag_to_db

    manager = DagBundlesManager()
    manager.sync_bundles_to_db()
    bundle, *_ = manager.get_all_dag_bundles()
    sync_bag_to_db(DagBag(dag.fileloc), bundle.name, None)

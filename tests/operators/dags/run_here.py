"""Run a DAG of this folder with Airflow's own `dag.test()`: ``python -m tests.operators.dags.run_here DAG_ID``."""

from __future__ import annotations

import sys
from pathlib import Path

if __name__ == "__main__":
    try:
        from airflow.dag_processing.dagbag import DagBag
    except ImportError:  # Airflow 3.1
        from airflow.models.dagbag import DagBag
    from tests.support.whole_dags import run_whole

    bag = DagBag(Path(__file__).with_name(f"{sys.argv[1]}.py"))
    sys.exit(run_whole(bag.dags[sys.argv[1]]).state != "success")

"""A DAG that serializes differently at each parse would get a new version each time."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = [str(ROOT / "example_dags"), str(ROOT / "tests" / "operators" / "dags")]
PRINT_HASHES = """
import sys
try:
    from airflow.dag_processing.dagbag import DagBag
    from airflow.serialization.serialized_objects import DagSerialization
except ImportError:  # Airflow 3.1
    from airflow.models.dagbag import DagBag
    from airflow.serialization.serialized_objects import SerializedDAG as DagSerialization
from airflow.models.serialized_dag import SerializedDagModel

for folder in sys.argv[1:]:
    for dag_id, dag in sorted(DagBag(folder).dags.items()):
        print("hash of", dag_id, SerializedDagModel.hash(DagSerialization.to_dict(dag)))
"""


def hashes(seed: str) -> list[str]:
    """Parse the DAGs in a new process and return Airflow's own hash of each."""
    call = [sys.executable, "-c", PRINT_HASHES, *FOLDERS]
    environment = os.environ | {"PYTHONHASHSEED": seed}
    printed = subprocess.run(call, env=environment, check=True, text=True, stdout=subprocess.PIPE).stdout
    return [line for line in printed.splitlines() if line.startswith("hash of")]


def test_dags_serialize_the_same_at_each_parse() -> None:
    first = hashes(seed="1")
    files = {path.stem for folder in FOLDERS for path in Path(folder).glob("*.py")}
    if importlib.util.find_spec("airflow.triggers.shared_stream") is None:  # it needs Airflow 3.3
        files.remove("started_by_a_notebook")
    assert len(first) >= len(files)
    assert hashes(seed="2") == first

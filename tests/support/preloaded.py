"""What a command loads, loaded once: the processes of the commands are forked from one that has imported this."""

from __future__ import annotations

import contextlib
import importlib

from airflow_nbjobs.commands.console import quiet_airflow

_NEEDED = (
    "airflow_nbjobs.commands.render_context",
    "airflow_nbjobs.decorators",
    "airflow_nbjobs.run.build",
    "airflow_nbjobs.pruning",
    "papermill.translators",
    "airflow.dag_processing.dagbag",
    "airflow.models.dagbag",  # where Airflow 3.1 has it
    "airflow.serialization.serialized_objects",
)

with quiet_airflow():
    for name in _NEEDED:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)

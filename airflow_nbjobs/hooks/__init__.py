"""The connection becomes a client: credentials, project and endpoint, for tasks and for the triggerer."""

import airflow_nbjobs.floors  # noqa: F401 - refuses versions that are too old

from airflow_nbjobs.hooks.async_hook import NotebookExecutionJobAsyncHook
from airflow_nbjobs.hooks.sync_hook import NotebookExecutionJobHook

__all__ = ["NotebookExecutionJobAsyncHook", "NotebookExecutionJobHook"]

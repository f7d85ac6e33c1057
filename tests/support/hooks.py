"""Hooks that stand for a deployment in trouble."""

from __future__ import annotations

from airflow_nbjobs.hooks import NotebookExecutionJobAsyncHook, NotebookExecutionJobHook


class ForgetfulHook(NotebookExecutionJobAsyncHook):
    """A connection that Airflow cannot look up at first: its API server is in trouble."""

    looks = 0

    async def get_sync_hook(self) -> NotebookExecutionJobHook:
        self.looks += 1
        if self.looks <= 2:
            raise RuntimeError("API_SERVER_ERROR: 503")
        return await super().get_sync_hook()

"""Asset events for notebook jobs that end: DAGs that are scheduled on such an asset start then.

The rules are in ``docs/decisions/events.md``.
"""

from __future__ import annotations

from airflow_nbjobs.events.trigger import NotebookJobEventTrigger

__all__ = ["NotebookJobEventTrigger"]

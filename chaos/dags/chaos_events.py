"""Two DAGs that start when jobs end; they are unpaused when their trials begin."""

from __future__ import annotations

from typing import Any

from airflow.sdk import DAG, Asset, AssetWatcher, task

from airflow_nbjobs.events import NotebookJobEventTrigger


@task
def tell(triggering_asset_events: Any = None) -> list[str]:
    """Return the names of the jobs that started this run."""
    return [event.extra["payload"]["display_name"] for events in triggering_asset_events.values() for event in events]


for side in "ab":
    trigger = NotebookJobEventTrigger(
        "us-central1", project_id="chaos-events", display_name=f"{side}-.*", poll_interval=1
    )
    asset = Asset(f"chaos_{side}", watchers=[AssetWatcher(name=f"chaos_{side}", trigger=trigger)])
    with DAG(f"chaos_after_{side}", schedule=[asset], is_paused_upon_creation=True):
        tell()

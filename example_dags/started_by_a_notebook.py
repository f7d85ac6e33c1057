"""Start a DAG when a notebook job ends, such as one of a Vertex AI schedule, a person or another Airflow.

The watcher of the asset waits in the triggerer, and gives the asset an event for each job that has SUCCEEDED and whose
display name matches. It begins when the DAG is unpaused; what has ended before starts nothing. Each end starts one run,
also if the triggerer is restarted. It needs Airflow 3.3 or later.

``hello_notebook.py`` describes the environment variables, the bucket and the packages.
"""

import os
from typing import Any

from airflow.sdk import DAG, Asset, AssetWatcher, task

from airflow_nbjobs.events import NotebookJobEventTrigger

ended = NotebookJobEventTrigger(
    location=os.environ.get("NBJOBS_LOCATION", "us-central1"),
    display_name="visits-report.*",
    poll_interval=float(os.environ.get("NBJOBS_POLL_INTERVAL", "30")),
)
REPORTS = Asset("visits_reports", watchers=[AssetWatcher(name="visits_reports", trigger=ended)])


@task
def tell(triggering_asset_events: Any = None) -> list[str]:
    """Print and return a sentence for each notebook; a run that a person starts has none."""
    sentences = []
    for event in triggering_asset_events.get(REPORTS, []):
        job = event.extra["payload"]
        sentences.append(f"{job['display_name']} ended at {job['ended_at']}: {job['executed_notebook']}")
    print("\n".join(sentences))
    return sentences


with DAG(
    "started_by_a_notebook",
    schedule=[REPORTS],
    is_paused_upon_creation=True,  # an example runs only on request
    tags=["notebooks"],
):
    tell()

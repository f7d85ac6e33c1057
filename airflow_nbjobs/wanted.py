"""Whether Airflow still wants a task whose process is told to end: not every such signal is a person's wish."""

from __future__ import annotations

import threading
from typing import Any

__all__ = ["is_wanted", "task_state"]

_ANSWER_SECONDS = 2.0
"""Of the five that a killed task has, what the question may take: the rest is for ending the job."""

_WANTED = frozenset({"running", "up_for_retry", "queued", "scheduled"})
"""
States of a task that goes on or is tried again. A person's mark brings about others, and so does a clear of a running
task (``restarting``); ``queued`` and ``scheduled`` are what a retry leads through, that of a task taken for dead too.
"""


def task_state(ti: Any) -> str | None:
    """Return the state that a task instance has in Airflow's database; it blocks until the supervisor answers."""
    # It is not part of `airflow.sdk`'s public face, and there is no public way to ask.
    from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance

    states = RuntimeTaskInstance.get_task_states(
        dag_id=ti.dag_id, task_ids=[ti.task_id], run_ids=[ti.run_id], map_index=ti.map_index
    )
    key = ti.task_id if ti.map_index < 0 else f"{ti.task_id}_{ti.map_index}"
    state = (states.get(ti.run_id) or {}).get(key)
    return None if state is None else str(state)


def is_wanted(ti: Any) -> bool:
    """Tell whether Airflow says, within two seconds, that a task which is being killed goes on or is retried.

    Airflow 3.3 passes the end of a worker on to its tasks, and ends a task that it took for dead; both look like a
    person's kill. Without an answer the task counts as unwanted: a job that nobody wants costs more than a second one.
    """
    said: list[str | None] = []

    def ask() -> None:
        try:
            said.append(task_state(ti))
        except Exception:  # noqa: BLE001 - whatever Airflow has against the question, there is no answer
            said.append(None)

    # A thread, since the signal may have come in the middle of another question, which holds the way to the supervisor.
    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    asking.join(_ANSWER_SECONDS)
    return bool(said) and said[0] in _WANTED

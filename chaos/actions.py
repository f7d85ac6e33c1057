"""Actions of people and deadlines on a task, and how soon its job must end."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from chaos.running import RECOVER_SECONDS
from chaos.site import ENDED, TASK, Site
from demo.airflow_rest import Run

JOB_TIMEOUT = 15
"""Seconds after which the service itself ends a job whose worker died with no retry left."""

Act = Callable[[Site, Run], Any]


@dataclass(frozen=True, kw_only=True)
class Action:
    """One action that ends a task or its processes.

    :ivar kind: kind of the DAG: ``retried``, ``once`` or ``bounded``.
    :ivar act: called when the task waits; by default a deadline acts.
    :ivar state: the task's final state.
    :ivar jobs: how many jobs are created in total.
    :ivar within: seconds until the first job starts to end.
    :ivar is_timed_from_job: whether they count from the job's creation, not from the action.
    :ivar hold: seconds after which the create request is carried out.
    :ivar duplicates: how many of the jobs are known duplicates.
    :ivar tasks: how many tasks it affects at once, if it affects all that wait.
    """

    says: str
    mode: str
    kind: str
    within: float
    state: str = "failed"
    jobs: int = 1
    act: Act = lambda _site, _run: None
    is_timed_from_job: bool = False
    stop_at: str | None = None
    job_timeout: int = 900
    ids: str = "service"
    hold: float = 0.0
    duplicates: int = 0
    tasks: int = 1

    @property
    def is_endless(self) -> bool:
        """Whether the first job runs until it is ended."""
        return not self.hold and self.job_timeout != JOB_TIMEOUT and self.stop_at != "resumed"

    @property
    def row(self) -> tuple[str, str, str]:
        """The first columns of the table: no step, the mode, what happens."""
        return "", self.mode, f"{self.says} (within {self.within:g} s)"


def mark(state: str) -> Act:
    """Mark the task as failed or as successful."""

    def act(site: Site, run: Run) -> None:
        asked = {"new_state": state}
        site.patiently(lambda: site.airflow.rest.call("PATCH", f"{run.path}/taskInstances/{TASK}", json=asked))

    return act


def kill_task(site: Site, run: Run) -> None:
    """Kill the task's process."""
    site.kill(run, "task")


def clear(site: Site, run: Run) -> None:
    """Clear the task."""
    asked = {"dry_run": False, "dag_run_id": run.run_id, "task_ids": [TASK], "only_failed": False}
    site.patiently(lambda: site.airflow.rest.call("POST", f"/dags/{run.dag_id}/clearTaskInstances", json=asked))


def kill_worker(site: Site, run: Run) -> None:
    """Kill the task and its supervisor, and wait until Airflow has noticed."""
    site.kill(run, "worker")
    site.until(lambda: site.state(run) in ENDED, RECOVER_SECONDS)


def kill_and_clear(site: Site, run: Run) -> None:
    """Kill the worker of a task without a retry, and clear the task afterwards."""
    kill_worker(site, run)
    # A task that is cleared while the scheduler ends its run is never started.
    site.until(lambda: site.patiently(lambda: site.airflow.rest.run_state(run)) in ENDED, RECOVER_SECONDS)
    clear(site, run)


def _late(**arguments: Any) -> Action:
    says = "create carried out 45 s late, task killed"
    return Action(
        says=says, mode="sync", kind="retried", act=kill_task, hold=45, state="success", within=0, **arguments
    )


def _both(says: str, **arguments: Any) -> Iterator[Action]:
    for mode, where in (("sync", "running"), ("deferrable", "deferred")):
        yield Action(says=f"{says}, {where}", mode=mode, **arguments)


LEFT = Action(
    says="worker killed, no retry: job's own timeout of 15 s",
    mode="sync",
    kind="once",
    act=kill_worker,
    stop_at="answered",
    job_timeout=JOB_TIMEOUT,
    within=JOB_TIMEOUT + 1,
    is_timed_from_job=True,
)

ABANDONED = Action(
    says="worker killed, no retry: cleared",
    mode="sync",
    kind="once",
    act=kill_and_clear,
    state="success",
    jobs=2,
    within=60,
)

WITHOUT_RETRY = [
    LEFT,
    replace(LEFT, says="worker killed before it defers, no retry: job's own timeout of 15 s", mode="deferrable"),
    ABANDONED,
    replace(ABANDONED, says=f"{ABANDONED.says}, deterministic_job_id=True", ids="own"),
    replace(
        ABANDONED,
        says="worker killed before it defers, no retry: cleared",
        mode="deferrable",
        stop_at="answered",
    ),
    Action(
        says="worker killed as it resumes, no retry: its job has ended",
        mode="deferrable",
        kind="once",
        act=kill_worker,
        stop_at="resumed",
        within=0,
    ),
]

STALLED = Action(
    says="triggerer stalled, taken over, awake again: not ended",
    mode="deferrable",
    kind="retried",
    state="success",
    within=0,
    tasks=3,
)

TRIGGERER_DEAD = Action(
    says="triggerer killed and started again, no retry: not ended",
    mode="deferrable",
    kind="once",
    state="success",
    within=0,
)

WATCHED = Action(
    says="triggerer killed between two ends, each of which starts two DAGs: one run each",
    mode="",
    kind="",
    within=0,
)

TIMED_OUT = Action(
    says="deferral's own timeout, triggerer dead",
    mode="deferrable",
    kind="bounded",
    within=190,
    is_timed_from_job=True,
)

ACTIONS = [
    *_both("marked as failed", kind="retried", act=mark("failed"), within=15),
    *_both("marked as success", kind="retried", act=mark("success"), state="success", within=15),
    *_both("cleared", kind="retried", act=clear, state="success", jobs=2, within=30),
    *_both("execution_timeout of 15 s", kind="bounded", within=40, is_timed_from_job=True),
    *WITHOUT_RETRY,
    # "The window that remains" of docs/decisions/exactly-once.md, and what closes it.
    replace(_late(jobs=2, duplicates=1), says="create carried out 45 s late, task killed: a known duplicate"),
    replace(_late(ids="own"), says="the same with deterministic_job_id=True: one job"),
]


def number_actions(times: int) -> dict[int, Action]:
    """Return the actions by number, each several times; the number is also in the project's name."""
    numbered = dict(enumerate(ACTIONS * times, start=5001))
    for first, action in ((6001, TIMED_OUT), (7001, STALLED), (8001, TRIGGERER_DEAD), (9001, WATCHED)):
        numbered |= dict.fromkeys(range(first, first + times * action.tasks), action)
    return numbered

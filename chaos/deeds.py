"""What people and deadlines do to a task, and what becomes of its job: it ends, and within which time."""

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
class Deed:
    """One thing that ends what a task does.

    :ivar kind: the DAG's: ``retried``, ``once`` or ``bounded``.
    :ivar act: what is done when the task waits; nothing where a deadline does it.
    :ivar state: the task's state when all is over.
    :ivar jobs: how many jobs are made in all.
    :ivar within: seconds within which the first job begins to end.
    :ivar is_timed_from_job: whether they count from the job's creation, not from the act.
    :ivar hold: seconds after which the create is carried out.
    :ivar duplicates: how many of the jobs are duplicates that are known of.
    :ivar tasks: how many tasks it is done to at once, where it concerns all that wait.
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
        """Whether the first job runs until somebody ends it."""
        return not self.hold and self.job_timeout != JOB_TIMEOUT and self.stop_at != "resumed"

    @property
    def row(self) -> tuple[str, str, str]:
        """No step, the mode and what happens, as the table says them."""
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
    """Kill the worker of a task that has no retry; a person clears it afterwards."""
    kill_worker(site, run)
    # A task that is cleared while the scheduler ends its run is left in an ended run, and nobody starts it.
    site.until(lambda: site.patiently(lambda: site.airflow.rest.run_state(run)) in ENDED, RECOVER_SECONDS)
    clear(site, run)


def _late(**arguments: Any) -> Deed:
    says = "create carried out 45 s late, its task killed"
    return Deed(says=says, mode="sync", kind="retried", act=kill_task, hold=45, state="success", within=0, **arguments)


def _both(says: str, **arguments: Any) -> Iterator[Deed]:
    for mode, where in (("sync", "running"), ("deferrable", "deferred")):
        yield Deed(says=f"{says}, {where}", mode=mode, **arguments)


LEFT = Deed(
    says="worker killed, no retry: job's own timeout of 15 s",
    mode="sync",
    kind="once",
    act=kill_worker,
    stop_at="answered",
    job_timeout=JOB_TIMEOUT,
    within=JOB_TIMEOUT + 1,
    is_timed_from_job=True,
)

ABANDONED = Deed(
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
    Deed(
        says="worker killed as it resumes, no retry: its job is over",
        mode="deferrable",
        kind="once",
        act=kill_worker,
        stop_at="resumed",
        within=0,
    ),
]

STALLED = Deed(
    says="triggerer stalled, taken over, awake again: not ended",
    mode="deferrable",
    kind="retried",
    state="success",
    within=0,
    tasks=3,
)

TRIGGERER_DEAD = Deed(
    says="triggerer killed and started again, no retry: not ended",
    mode="deferrable",
    kind="once",
    state="success",
    within=0,
)

TIMED_OUT = Deed(
    says="deferral's own timeout, triggerer dead",
    mode="deferrable",
    kind="bounded",
    within=190,
    is_timed_from_job=True,
)

DEEDS = [
    *_both("marked as failed", kind="retried", act=mark("failed"), within=15),
    *_both("marked as success", kind="retried", act=mark("success"), state="success", within=15),
    *_both("cleared", kind="retried", act=clear, state="success", jobs=2, within=30),
    *_both("execution_timeout of 15 s", kind="bounded", within=40, is_timed_from_job=True),
    *WITHOUT_RETRY,
    # What docs/decisions/exactly-once.md calls the window that remains, and what closes it.
    replace(_late(jobs=2, duplicates=1), says="create carried out 45 s late, its task killed: a known duplicate"),
    replace(_late(ids="own"), says="the same with deterministic_job_id=True: none"),
]


def number_deeds(times: int) -> dict[int, Deed]:
    """Return what is done under its number, which its project has too: each deed so many times."""
    numbered = dict(enumerate(DEEDS * times, start=5001))
    for first, deed in ((6001, TIMED_OUT), (7001, STALLED), (8001, TRIGGERER_DEAD)):
        numbered |= dict.fromkeys(range(first, first + times * deed.tasks), deed)
    return numbered

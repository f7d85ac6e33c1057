"""What people and deadlines do to a task, and what becomes of its job: it ends, and within which time."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import count
from typing import Any

import httpx2

from chaos.cloud import Entry, duplicates, is_active, time_of
from chaos.running import RECOVER_SECONDS, Verdict
from chaos.site import ENDED, TASK, Site
from demo.airflow_rest import Run

ENDING = ("CANCELLING", "CANCELLED", "FAILED", "EXPIRED")
REACH_SECONDS = 150
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


ABANDONED = Deed(
    says="worker killed, no retry: cleared",
    mode="sync",
    kind="once",
    act=kill_and_clear,
    state="success",
    jobs=2,
    within=60,
)

STALLED = Deed(
    says="triggerer stalled, taken over, awake again: not ended",
    mode="deferrable",
    kind="retried",
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
    Deed(
        says="worker killed, no retry: job's own timeout of 15 s",
        mode="sync",
        kind="once",
        act=kill_worker,
        stop_at="answered",
        job_timeout=JOB_TIMEOUT,
        within=JOB_TIMEOUT + 1,
        is_timed_from_job=True,
    ),
    ABANDONED,
    replace(ABANDONED, says=f"{ABANDONED.says}, deterministic_job_id=True", ids="own"),
    # What docs/decisions/exactly-once.md calls the window that remains, and what closes it.
    replace(_late(jobs=2, duplicates=1), says="create carried out 45 s late, its task killed: a known duplicate"),
    replace(_late(ids="own"), says="the same with deterministic_job_id=True: none"),
]


def do_deeds(site: Site, times: int, at_once: int) -> Iterable[Verdict]:
    """Do each deed so many times, so many tasks at once."""
    numbers = count(5001)
    every = [(deed, next(numbers)) for _ in range(times) for deed in DEEDS]
    with site.threads(at_once) as pool:
        yield from pool.map(lambda each: _guarded(site, *each), every)


def do_to_triggerer(site: Site, times: int) -> Iterable[Verdict]:
    """Do what concerns the triggerer, and with it all tasks that wait: so many tasks, and three times so many."""
    for deed, act, first, tasks in ((STALLED, _stall, 7001, 3 * times), (TIMED_OUT, _time_out, 6001, times)):
        numbers = range(first, first + tasks)
        try:
            yield from act(site, deed, numbers)
        except (httpx2.HTTPError, OSError) as error:
            yield from (_missed(deed, number, error) for number in numbers)


def _time_out(site: Site, deed: Deed, numbers: Iterable[int]) -> list[Verdict]:
    """Let the deferral time out with no triggerer there: the scheduler fails the task, and a worker ends the job."""
    runs = [_begin(site, deed, number) for number in numbers]
    waiting = [_reaches(site, deed, run) for run in runs]
    site.airflow.kill("triggerer")
    verdicts = [
        _judge(site, deed, run, is_met=is_met, since=datetime.now(UTC))
        for run, is_met in zip(runs, waiting, strict=True)
    ]
    site.airflow.start_component("triggerer")
    return verdicts


def _stall(site: Site, deed: Deed, numbers: Iterable[int]) -> list[Verdict]:
    """Stall a triggerer until another one has taken over, and wake it up: no job may be ended."""
    runs = [_begin(site, deed, number) for number in numbers]
    waiting = [_reaches(site, deed, run) for run in runs]
    first = {run: _triggerer(site, run) for run in runs}
    session = os.getpgid(site.airflow.pid("triggerer"))
    os.killpg(session, signal.SIGSTOP)
    site.airflow.start_second_triggerer()
    taken = site.until(lambda: all(_triggerer(site, run) not in (None, first[run]) for run in runs), REACH_SECONDS)
    os.killpg(session, signal.SIGCONT)
    told = site.until(lambda: all(_was_told(site, run) for run in runs), 30)
    time.sleep(5)  # what ends a job wrongly gets the time to do so
    for run in runs:
        for job in filter(is_active, site.cloud.jobs(run.run_id)):
            site.cloud.lead(job, "SUCCEEDED")
    verdicts = [
        _judge(site, deed, run, is_met=is_met and taken and told, since=datetime.now(UTC))
        for run, is_met in zip(runs, waiting, strict=True)
    ]
    site.airflow.kill("second triggerer")
    return verdicts


def _triggerer(site: Site, run: Run) -> int | None:
    """Return which triggerer has the task, if one has."""
    job = site.task(run).get("triggerer_job")
    return job["id"] if job else None


def _was_told(site: Site, run: Run) -> bool:
    """Tell whether the trigger was told, wrongly, that a person ended the task."""
    logs = site.airflow.home.glob(f"logs/dag_id={run.dag_id}/run_id={run.run_id}/**/*trigger*")
    return any("still waits for" in log.read_text() for log in logs if log.is_file())


def _guarded(site: Site, deed: Deed, number: int) -> Verdict:
    try:
        return _do(site, deed, number)
    except (httpx2.HTTPError, OSError) as error:  # what goes wrong with the trial itself is a miss
        return _missed(deed, number, error)


def _missed(deed: Deed, number: int, error: Exception) -> Verdict:
    return Verdict(number=number, row=deed.row, ids=deed.ids, missed=1, note=f"chaos-{number}: {error!r}")


def _do(site: Site, deed: Deed, number: int) -> Verdict:
    run = _begin(site, deed, number)
    is_met = _reaches(site, deed, run)
    since = datetime.now(UTC)
    deed.act(site, run)
    return _judge(site, deed, run, is_met=is_met, since=since)


def _begin(site: Site, deed: Deed, number: int) -> Run:
    project = f"chaos-{number:04d}"
    if deed.hold:
        site.cloud.ask_for({"method": "create", "delay_seconds": deed.hold, "project": project})
    elif deed.job_timeout != JOB_TIMEOUT:  # the first job runs until somebody ends it
        site.cloud.ask_for({"job_state": "JOB_STATE_RUNNING", "project": project})
    conf = {"stop_at": deed.stop_at, "job_timeout": deed.job_timeout}
    return site.begin(f"chaos_{deed.mode}_{deed.ids}_{deed.kind}", project, conf)


def _reaches(site: Site, deed: Deed, run: Run) -> bool:
    return site.until(lambda: _is_at(site, deed, run), REACH_SECONDS)


def _is_at(site: Site, deed: Deed, run: Run) -> bool:
    """Tell whether it is time for the deed: by default when the task waits for its job."""
    if deed.stop_at:
        return site.has_stopped(run)
    if deed.hold:
        return any(met for _, _, met in site.cloud.met(run.run_id))
    if deed.mode == "deferrable":
        # Airflow tells nobody when a task is ended that no triggerer has taken up yet.
        task = site.task(run)
        return task.get("state") == "deferred" and task.get("triggerer_job") is not None
    return any(map(is_active, site.cloud.jobs(run.run_id)))


def _judge(site: Site, deed: Deed, run: Run, *, is_met: bool, since: datetime) -> Verdict:
    def has_come_to_rest() -> bool:
        jobs = site.cloud.jobs(run.run_id)
        return len(jobs) >= deed.jobs and not any(map(is_active, jobs)) and site.state(run) in ENDED

    site.until(has_come_to_rest, RECOVER_SECONDS)
    jobs, state = site.cloud.jobs(run.run_id), site.state(run)
    seconds = _seconds_to_end(deed, jobs, since)
    made = deed.jobs - deed.duplicates <= len(jobs) <= deed.jobs
    is_right = made and state == deed.state and seconds <= deed.within
    return Verdict(
        number=int(run.run_id.rpartition("-")[2]),
        row=deed.row,
        ids=deed.ids,
        duplicates=max(0, duplicates(jobs) - deed.duplicates),
        orphans=sum(map(is_active, jobs)),
        lost=int(not is_right),
        missed=int(not is_met),
        seconds=round(seconds, 1),
        note=f"{run.dag_id} {run.run_id}: task {state}, jobs {[job['state'] for job in jobs]}",
        jobs=jobs,
    )


def _seconds_to_end(deed: Deed, jobs: list[Entry], since: datetime) -> float:
    """Return how long it took until the first job was being ended; 0 when it never was, endless without a job."""
    if not jobs:
        return float("inf")
    ended = time_of(jobs[0], *ENDING)
    begun = datetime.fromisoformat(jobs[0]["createTime"]) if deed.is_timed_from_job else since
    return (ended - begun).total_seconds() if ended else 0.0

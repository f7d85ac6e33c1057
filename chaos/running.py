"""One trial: bring a task to its step, cause the fault, wait, and compare the jobs."""

from __future__ import annotations

import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from typing import Any

import httpx

from chaos.cloud import duplicates, is_active, is_run_again
from chaos.plan import HOLD_SECONDS, KILLS, LONG_HOLD_SECONDS, STEPS, TROUBLES, Plan, Trial
from chaos.site import ENDED, Site
from demo.airflow_rest import Run

REACH_SECONDS = 150
RECOVER_SECONDS = 600
SETTLE_SECONDS = 10


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """The result of one trial.

    :ivar row: step, mode and what happened.
    :ivar ids: ``service`` or ``own`` ids of the jobs.
    :ivar duplicates: jobs that ran a cell although another job was good.
    :ivar orphans: jobs that still ran when their task was over.
    :ivar lost: tasks that did not succeed with the result of a job that did.
    :ivar again: whether more than one job was created although no job had failed.
    :ivar missed: trials in which the step was not reached, which prove nothing.
    :ivar seconds: from the fault, or the start, to the task's end.
    """

    number: int
    row: tuple[str, str, str]
    ids: str
    duplicates: int = 0
    orphans: int = 0
    lost: int = 0
    again: int = 0
    missed: int = 0
    seconds: float = 0.0
    note: str = ""
    jobs: list[dict[str, Any]] = field(default_factory=list)

    @property
    def is_good(self) -> bool:
        """Whether nothing is wrong."""
        return not (self.duplicates or self.orphans or self.lost or self.missed)

    def to_json(self) -> dict[str, Any]:
        """Return JSON, with the jobs."""
        return asdict(self)


def run_plan(site: Site, plan: Plan, at_once: int) -> Iterable[Verdict]:
    """Carry out a plan, several trials at once, and yield the verdicts."""
    with site.threads(at_once) as pool:
        for batch in plan.outages:
            try:
                yield from run_outage(site, batch, pool)
            except (httpx.HTTPError, OSError) as error:
                yield from (failed(error, trial) for trial in batch)
        yield from pool.map(lambda trial: guarded(site, trial), plan.alone)


def run_alone(site: Site, trial: Trial) -> Verdict:
    """Run a trial of one task."""
    run = _begin(site, trial, HOLD_SECONDS)
    is_met = _is_reached(site, trial, run)
    time.sleep(trial.pause)
    since = time.monotonic()
    if is_met and trial.what in KILLS:
        is_met = site.kill(run, trial.what)
    site.let_go(run)
    return _judge(site, trial, run, is_met=is_met, since=since)


def run_outage(site: Site, batch: list[Trial], pool: ThreadPoolExecutor) -> list[Verdict]:
    """Bring all tasks of a batch to their steps, and cause one outage."""
    for trial in batch:
        if trial.step == "deferred":  # its job runs until all tasks have reached their steps
            site.cloud.request_fault({"job_state": "JOB_STATE_RUNNING", "project": trial.project})
    runs = list(pool.map(lambda trial: _begin(site, trial, LONG_HOLD_SECONDS), batch))
    reached = list(pool.map(lambda trial, run: _reach(site, trial, run), batch, runs))
    still = [_is_held(site, trial, run, at) for trial, run, at in zip(batch, runs, reached, strict=True)]
    time.sleep(batch[0].pause)
    since = time.monotonic()
    site.break_down(batch[0].what)
    for trial, run in zip(batch, runs, strict=True):
        site.let_go(run)
        if trial.step == "deferred":
            for job in filter(is_active, site.cloud.jobs(trial.project)):
                site.cloud.set_state(job, "SUCCEEDED")
    return list(
        pool.map(lambda trial, run, is_met: _judge(site, trial, run, is_met=is_met, since=since), batch, runs, still)
    )


def _begin(site: Site, trial: Trial, hold_seconds: float) -> Run:
    step = STEPS.get(trial.step)
    trouble = TROUBLES.get(trial.what)
    faults = step.faults(hold_seconds) if step else []
    if trouble and not trouble.is_for_waiting:
        faults += trouble.faults
    for fault in faults:
        site.cloud.request_fault({**fault, "project": trial.project})
    return site.begin(trial.dag_id, trial.project, {"stop_at": step.stop_at if step else None})


def _is_reached(site: Site, trial: Trial, run: Run) -> bool:
    """Wait until the task is at its step; return whether it is."""
    trouble = TROUBLES.get(trial.what)
    if trouble is None:
        return site.until(lambda: _is_at(site, trial, run), REACH_SECONDS)
    if trouble.is_for_waiting:
        if not site.until(lambda: _waits(site, trial, run), REACH_SECONDS):
            return False
        for fault in trouble.faults:
            site.cloud.request_fault({**fault, "project": trial.project})
    return site.until(lambda: sum(met for _, _, met in site.cloud.met(trial.project)) >= trouble.needed, REACH_SECONDS)


def _is_at(site: Site, trial: Trial, run: Run) -> bool:
    step = STEPS[trial.step]
    if step.stop_at:
        return site.has_stopped(run)
    if step.holds:
        return all(met >= asked for _, asked, met in site.cloud.met(trial.project))
    return _waits(site, trial, run)


def _reach(site: Site, trial: Trial, run: Run) -> float | None:
    """Wait until the task is at its step, and return when it was; ``None`` if it never was."""
    return time.monotonic() if _is_reached(site, trial, run) else None


def _is_held(site: Site, trial: Trial, run: Run, reached: float | None) -> bool:
    """Return whether a task that reached its step is still there."""
    if reached is None:
        return False
    if STEPS[trial.step].holds and time.monotonic() - reached > LONG_HOLD_SECONDS - 2:
        return False
    return site.state(run) == ("deferred" if trial.step == "deferred" else "running")


def _waits(site: Site, trial: Trial, run: Run) -> bool:
    if trial.mode == "deferrable":
        return site.state(run) == "deferred"
    return any(job["state"] == "JOB_STATE_RUNNING" for job in site.cloud.jobs(trial.project))


def _judge(site: Site, trial: Trial, run: Run, *, is_met: bool, since: float) -> Verdict:
    """Wait until task and jobs are over, and compare."""
    site.until(lambda: site.state(run) in ENDED, RECOVER_SECONDS)
    seconds = time.monotonic() - since
    site.until(lambda: not any(map(is_active, site.cloud.jobs(trial.project))), SETTLE_SECONDS)
    jobs = site.cloud.jobs(trial.project)
    state, result = site.state(run), site.result(run)
    good = [job["id"] for job in jobs if job["state"] == "JOB_STATE_SUCCEEDED"]
    is_lost = state != "success" or result.get("job_id") not in good
    return Verdict(
        number=trial.number,
        row=trial.row,
        ids=trial.ids,
        duplicates=duplicates(jobs),
        orphans=sum(map(is_active, jobs)),
        lost=int(is_lost),
        again=int(is_run_again(jobs)),
        missed=int(not is_met),
        seconds=round(seconds, 1),
        note=f"{trial.dag_id} {trial.project}: task {state}, {len(jobs)} jobs" + ("" if is_met else ", step not met"),
        jobs=jobs,
    )


def failed(error: Exception, trial: Trial) -> Verdict:
    """Return the verdict for a trial that could not be carried out."""
    return Verdict(number=trial.number, row=trial.row, ids=trial.ids, missed=1, note=f"{trial.project}: {error!r}")


def guarded(site: Site, trial: Trial) -> Verdict:
    """Run a trial alone; an error of the trial itself counts as missed."""
    try:
        return run_alone(site, trial)
    except (httpx.HTTPError, OSError) as error:
        return failed(error, trial)

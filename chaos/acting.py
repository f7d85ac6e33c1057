"""Doing the actions, and judging what happened to the jobs."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime

import httpx

from chaos.actions import STALLED, TIMED_OUT, TRIGGERER_DEAD, WATCHED, Action
from chaos.cloud import Entry, duplicates, is_active, time_of
from chaos.running import RECOVER_SECONDS, Verdict
from chaos.site import ENDED, Site
from chaos.watching import watch
from demo.airflow_rest import Run

ENDING = ("CANCELLING", "CANCELLED", "FAILED", "EXPIRED")
REACH_SECONDS = 150


def run_actions(site: Site, actions: Mapping[int, Action], at_once: int) -> Iterator[Verdict]:
    """Do the actions, several at once; then, one by one, those that affect the triggerer.

    :param at_once: how many tasks run at once.
    """
    alone = [(action, number) for number, action in actions.items() if action not in _TO_TRIGGERER]
    with site.threads(at_once) as pool:
        yield from pool.map(lambda each: _guarded(site, *each), alone)
    for action, act in _TO_TRIGGERER.items():
        numbers = [number for number, each in actions.items() if each == action]
        try:
            yield from act(site, action, numbers) if numbers else ()
        except (httpx.HTTPError, OSError) as error:
            yield from (_missed(action, number, error) for number in numbers)


def _time_out(site: Site, action: Action, numbers: Iterable[int]) -> list[Verdict]:
    """Let the deferral time out without a triggerer: the scheduler fails the task, and a worker ends the job."""
    runs = [_begin(site, action, number) for number in numbers]
    waiting = [_reaches(site, action, run) for run in runs]
    site.airflow.kill("triggerer")
    verdicts = [
        _judge(site, action, run, is_met=is_met, since=datetime.now(UTC))
        for run, is_met in zip(runs, waiting, strict=True)
    ]
    site.airflow.start_component("triggerer")
    return verdicts


def _revive(site: Site, action: Action, numbers: Iterable[int]) -> list[Verdict]:
    """Kill the triggerer and start it again, then let the jobs succeed."""
    runs = [_begin(site, action, number) for number in numbers]
    waiting = [_reaches(site, action, run) for run in runs]
    site.break_down("triggerer")
    return _succeed(site, action, runs, waiting)


def _stall(site: Site, action: Action, numbers: Iterable[int]) -> list[Verdict]:
    """Suspend a triggerer until another one has taken over, and resume it: no job may be ended."""
    runs = [_begin(site, action, number) for number in numbers]
    waiting = [_reaches(site, action, run) for run in runs]
    first = {run: _triggerer(site, run) for run in runs}
    session = os.getpgid(site.airflow.pid("triggerer"))
    os.killpg(session, signal.SIGSTOP)
    site.airflow.start_second_triggerer()
    taken = site.until(lambda: all(_triggerer(site, run) not in (None, first[run]) for run in runs), REACH_SECONDS)
    os.killpg(session, signal.SIGCONT)
    called = site.until(lambda: all(_on_kill_was_called(site, run) for run in runs), 30)
    time.sleep(5)  # time for a job to be ended wrongly
    verdicts = _succeed(site, action, runs, [is_met and taken and called for is_met in waiting])
    site.airflow.kill("second triggerer")
    return verdicts


def _succeed(site: Site, action: Action, runs: list[Run], are_met: list[bool]) -> list[Verdict]:
    """Let the active jobs succeed, and judge."""
    for run in runs:
        for job in filter(is_active, site.cloud.jobs(run.run_id)):
            site.cloud.set_state(job, "SUCCEEDED")
    since = datetime.now(UTC)
    return [_judge(site, action, run, is_met=is_met, since=since) for run, is_met in zip(runs, are_met, strict=True)]


_TO_TRIGGERER: dict[Action, Callable[[Site, Action, Iterable[int]], list[Verdict]]] = {
    STALLED: _stall,
    TIMED_OUT: _time_out,
    TRIGGERER_DEAD: _revive,
    WATCHED: watch,
}


def _triggerer(site: Site, run: Run) -> int | None:
    """Return the id of the triggerer that runs the task's trigger; ``None`` if none does."""
    job = site.task(run).get("triggerer_job")
    return job["id"] if job else None


def _on_kill_was_called(site: Site, run: Run) -> bool:
    """Return whether Airflow called the trigger's ``on_kill``, although no person ended the task."""
    logs = site.airflow.home.glob(f"logs/dag_id={run.dag_id}/run_id={run.run_id}/**/*trigger*")
    return any("The task goes on, and so does " in log.read_text() for log in logs if log.is_file())


def _guarded(site: Site, action: Action, number: int) -> Verdict:
    try:
        return _do(site, action, number)
    except (httpx.HTTPError, OSError) as error:  # an error of the trial itself
        return _missed(action, number, error)


def _missed(action: Action, number: int, error: Exception) -> Verdict:
    return Verdict(number=number, row=action.row, ids=action.ids, missed=1, note=f"chaos-{number}: {error!r}")


def _do(site: Site, action: Action, number: int) -> Verdict:
    run = _begin(site, action, number)
    is_met = _reaches(site, action, run)
    since = datetime.now(UTC)
    action.act(site, run)
    return _judge(site, action, run, is_met=is_met, since=since)


def _begin(site: Site, action: Action, number: int) -> Run:
    project = f"chaos-{number:04d}"
    if action.hold:
        site.cloud.request_fault({"method": "create", "delay_seconds": action.hold, "project": project})
    elif action.is_endless:
        site.cloud.request_fault({"job_state": "JOB_STATE_RUNNING", "project": project})
    conf = {"stop_at": action.stop_at, "job_timeout": action.job_timeout}
    return site.begin(f"chaos_{action.mode}_{action.ids}_{action.kind}", project, conf)


def _reaches(site: Site, action: Action, run: Run) -> bool:
    return site.until(lambda: _is_at(site, action, run), REACH_SECONDS)


def _is_at(site: Site, action: Action, run: Run) -> bool:
    """Return whether it is time for the action: by default, when the task waits for its job."""
    if action.stop_at:
        return site.has_stopped(run)
    if action.hold:
        return any(met for _, _, met in site.cloud.met(run.run_id))
    if action.mode == "deferrable":
        # Airflow does not call the provider if the task is ended before a triggerer has started its trigger.
        task = site.task(run)
        return task.get("state") == "deferred" and task.get("triggerer_job") is not None
    return any(map(is_active, site.cloud.jobs(run.run_id)))


def _judge(site: Site, action: Action, run: Run, *, is_met: bool, since: datetime) -> Verdict:
    def is_over() -> bool:
        jobs = site.cloud.jobs(run.run_id)
        return len(jobs) >= action.jobs and not any(map(is_active, jobs)) and site.state(run) in ENDED

    site.until(is_over, RECOVER_SECONDS)
    jobs, state = site.cloud.jobs(run.run_id), site.state(run)
    seconds = _seconds_to_end(action, jobs, since)
    made = action.jobs - action.duplicates <= len(jobs) <= action.jobs
    is_right = made and state == action.state and seconds <= action.within
    return Verdict(
        number=int(run.run_id.rpartition("-")[2]),
        row=action.row,
        ids=action.ids,
        duplicates=max(0, duplicates(jobs) - action.duplicates),
        orphans=sum(map(is_active, jobs)),
        lost=int(not is_right),
        missed=int(not is_met),
        seconds=round(seconds, 1),
        note=f"{run.dag_id} {run.run_id}: task {state}, jobs {[job['state'] for job in jobs]}",
        jobs=jobs,
    )


def _seconds_to_end(action: Action, jobs: list[Entry], since: datetime) -> float:
    """Return the seconds until the first job started to end; 0 if it never did, infinity without a job."""
    if not jobs:
        return float("inf")
    ended = time_of(jobs[0], *ENDING)
    begun = datetime.fromisoformat(jobs[0]["createTime"]) if action.is_timed_from_job else since
    return (ended - begun).total_seconds() if ended else 0.0

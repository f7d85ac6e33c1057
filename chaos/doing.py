"""Doing what people and deadlines do to a task, and judging what became of its job."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime

import httpx2

from chaos.cloud import Entry, duplicates, is_active, time_of
from chaos.deeds import STALLED, TIMED_OUT, TRIGGERER_DEAD, Deed
from chaos.running import RECOVER_SECONDS, Verdict
from chaos.site import ENDED, Site
from demo.airflow_rest import Run

ENDING = ("CANCELLING", "CANCELLED", "FAILED", "EXPIRED")
REACH_SECONDS = 150


def do_deeds(site: Site, deeds: Mapping[int, Deed], at_once: int) -> Iterator[Verdict]:
    """Do what is numbered here: so many tasks at once, and then what concerns the triggerer and all that wait in it."""
    alone = [(deed, number) for number, deed in deeds.items() if deed not in _TO_TRIGGERER]
    with site.threads(at_once) as pool:
        yield from pool.map(lambda each: _guarded(site, *each), alone)
    for deed, act in _TO_TRIGGERER.items():
        numbers = [number for number, each in deeds.items() if each == deed]
        try:
            yield from act(site, deed, numbers) if numbers else ()
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


def _revive(site: Site, deed: Deed, numbers: Iterable[int]) -> list[Verdict]:
    """Kill the triggerer and start it again, and let the jobs come to a good end: the tasks do."""
    runs = [_begin(site, deed, number) for number in numbers]
    waiting = [_reaches(site, deed, run) for run in runs]
    site.break_down("triggerer")
    return _succeed(site, deed, runs, waiting)


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
    verdicts = _succeed(site, deed, runs, [is_met and taken and told for is_met in waiting])
    site.airflow.kill("second triggerer")
    return verdicts


def _succeed(site: Site, deed: Deed, runs: list[Run], are_met: list[bool]) -> list[Verdict]:
    """Lead the jobs that still run to a good end, and judge."""
    for run in runs:
        for job in filter(is_active, site.cloud.jobs(run.run_id)):
            site.cloud.lead(job, "SUCCEEDED")
    since = datetime.now(UTC)
    return [_judge(site, deed, run, is_met=is_met, since=since) for run, is_met in zip(runs, are_met, strict=True)]


_TO_TRIGGERER: dict[Deed, Callable[[Site, Deed, Iterable[int]], list[Verdict]]] = {
    STALLED: _stall,
    TIMED_OUT: _time_out,
    TRIGGERER_DEAD: _revive,
}


def _triggerer(site: Site, run: Run) -> int | None:
    """Return which triggerer has the task, if one has."""
    job = site.task(run).get("triggerer_job")
    return job["id"] if job else None


def _was_told(site: Site, run: Run) -> bool:
    """Tell whether the trigger was told, wrongly, that a person ended the task."""
    logs = site.airflow.home.glob(f"logs/dag_id={run.dag_id}/run_id={run.run_id}/**/*trigger*")
    return any("The task goes on, and so does" in log.read_text() for log in logs if log.is_file())


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
    elif deed.is_endless:
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

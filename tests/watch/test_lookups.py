"""Jobs that are looked up: by the page, or one by one."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from airflow_nbjobs.api.calls import Page
from airflow_nbjobs.watch.lookups import FEW, RECHECK_SECONDS, Lookups
from airflow_nbjobs.watch.updates import JobUpdate, list_updates
from airflow_nbjobs.watch.waiters import WatchedJob

START = datetime(2026, 11, 22, tzinfo=UTC)
PARENT = "projects/p/locations/l"


def update(seconds: float, job_id: str = "1") -> JobUpdate:
    return JobUpdate(job_id, "JOB_STATE_RUNNING", START + timedelta(seconds=seconds))


def lookups(ages: dict[str, float | None]) -> Lookups:
    """Make look-ups for jobs that changed so many seconds ago; None for not known when."""
    jobs = {}
    for job_id, age in ages.items():
        changed = None if age is None else START - timedelta(seconds=age)
        jobs[job_id] = WatchedJob(None, changed, 0.0)
    made = Lookups(jobs, RECHECK_SECONDS, 0.0)
    made.add(jobs)
    made.begin_sweep(list_updates(PARENT))
    return made


def test_few_jobs_are_asked_for_one_by_one():
    assert lookups({str(n): 5.0 for n in range(FEW)}).sweep is None
    assert lookups({str(n): None for n in range(FEW + 1)}).sweep is None


def test_a_sweep_reads_back_to_the_oldest_of_its_jobs():
    made = lookups({"1": 5.0, "2": 60.0, "3": 7.0, "4": 8.0, "unknown": None})
    sweep = made.sweep
    assert sweep.wanted == {"1", "2", "3", "4"}
    assert not sweep.is_over(Page([update(-5)], "next"))
    assert sweep.call.query["pageToken"] == "next"
    assert not sweep.is_over(Page([update(-60)], "next"))
    assert sweep.is_over(Page([update(-61)], "next"))


def test_a_sweep_costs_no_more_than_asking_for_each():
    made = lookups({str(n): 60.0 for n in range(5)})
    sweep, pages = made.sweep, 1
    while not sweep.is_over(Page([update(-1, "another")], "next")):
        pages += 1
    assert pages == 5


def test_what_a_sweep_did_not_meet_is_asked_for_one_by_one_and_not_swept_again():
    made = lookups({str(n): 60.0 for n in range(5)})
    made.discard("3")
    made.end_sweep()
    made.begin_sweep(list_updates(PARENT))
    assert made.sweep is None
    assert bool(made)
    for job_id in "0124":
        made.discard(job_id)
    assert not made

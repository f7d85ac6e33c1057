"""A handful of the trials of `make chaos`: processes of a real Airflow are killed, and the jobs are counted."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from chaos.plan import Plan, Trial
from chaos.running import Verdict, run_plan
from chaos.site import Site

ALONE = [
    ("made", "worker", "sync"),
    ("answered", "task", "deferrable"),
    ("polling", "supervisor", "sync"),
    ("resumed", "task", "deferrable"),
    ("", "create-dropped-after", "deferrable"),
    ("", "poll-503", "deferrable"),
]
OUTAGE = [("deferred", "triggerer", "deferrable")] * 3


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """Start an Airflow and an emulator for the trials."""
    with Site(tmp_path / "site") as running:
        yield running


def test_whatever_is_killed_one_job_is_created_and_kept(site: Site) -> None:
    trials = [
        Trial(number=number, step=step, what=what, mode=mode, ids="service", seed=1)
        for number, (step, what, mode) in enumerate([*ALONE, *OUTAGE], start=1)
    ]
    plan = Plan(alone=trials[: len(ALONE)], outages=[trials[len(ALONE) :]])
    verdicts: list[Verdict] = list(run_plan(site, plan, at_once=4))
    assert [each.note for each in verdicts if not each.is_good] == []
    assert {len(each.jobs) for each in verdicts} == {1}
    assert len(verdicts) == len(trials)

"""Outputs of an earlier run are never read as those of this run."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import nbformat
import pendulum
import pytest

from tests.support.building import code, error, execute, read, scrap, shows, stream

THEN, NOW = datetime(2026, 11, 22, 1, tzinfo=UTC), datetime(2026, 11, 22, 2, tzinfo=UTC)


def at(start: datetime | None, count: int, *outputs: Any, tags: list[str] | None = None) -> nbformat.NotebookNode:
    """Return a cell that was started at a time."""
    cell = code("x", *(tags or []), outputs=list(outputs), execution_count=count)
    if start is not None:
        cell.metadata["execution"] = {"iopub.execute_input": start.isoformat(), "iopub.status.idle": start.isoformat()}
    return cell


def minutes(count: int) -> timedelta:
    return timedelta(minutes=count)


def test_outputs_behind_the_failing_cell_are_left_out() -> None:
    earlier = execute(code("1"), code("2"), code("print('old')\n1 / 0")).cells
    earlier[1].source = "raise KeyError('new')"
    for has_times in (True, False):
        cells = execute(*earlier).cells
        if not has_times:
            cells[2].metadata.pop("execution")
        outcome = read(*cells, has_failed=True)
        assert str(outcome.failure) == "cell 2, line 1: KeyError: 'new' (`raise KeyError('new')`)"
        assert (outcome.errors, outcome.last_run) == (1, 2)
        assert (outcome.runs[2].has_run, outcome.runs[2].lines) == (False, ())
        assert outcome.notes == ("1 cell holds outputs of an earlier run, which are left out; the first is cell 3.",)


STALE_RESULTS = [
    shows({"text/plain": "{'rows': 1}"}, "result"),
    scrap("rows", 1),
]


@pytest.mark.parametrize("stale", STALE_RESULTS, ids=["tagged", "scrap"])
def test_results_of_an_earlier_run_are_left_out(stale: nbformat.NotebookNode) -> None:
    stale = nbformat.from_dict(stale)
    stale.metadata["execution"] = {"iopub.execute_input": THEN.isoformat()}
    outcome = read(at(NOW, 1), stale, at(NOW, 2))
    assert (outcome.results, outcome.results_problem) == ({}, None)
    for since in (NOW, pendulum.instance(NOW)):
        assert read(stale, since=since).results == {}
    assert read(stale, since=THEN + timedelta(seconds=30)).results == {"rows": 1}


OLD_ERROR = error("Old")
COLAB = {"executionInfo": {"timestamp": (THEN.timestamp()) * 1000, "elapsed": 5, "status": "error"}}
CASES = {
    "an earlier time": [at(NOW, 1), at(NOW, 2, error("New")), at(THEN, 3, OLD_ERROR)],
    "no time": [at(NOW, 1), at(NOW, 2, error("New")), at(None, 3, OLD_ERROR)],
    "a time of Colab": [at(NOW, 1), at(NOW, 2, error("New")), code("x", outputs=[OLD_ERROR], metadata=COLAB)],
    "no times at all": [at(None, 1), at(None, 2, error("New")), at(None, 3, OLD_ERROR)],
    "a lower count": [at(None, 5), at(None, 6, error("New", traceback=["x"])), at(None, 1, OLD_ERROR)],
    "a skipped cell above": [at(THEN, 7, OLD_ERROR), at(NOW, 1), at(NOW, 2, error("New"))],
}


@pytest.mark.parametrize("case", CASES)
def test_failure_is_that_of_this_run(case: str) -> None:
    outcome = read(*CASES[case], since=NOW, has_failed=True)
    assert outcome.failure is not None
    assert (outcome.failure.ename, outcome.errors) == ("New", 1)


def test_cell_that_was_running_when_the_job_ended_is_of_this_run() -> None:
    running = code("x", outputs=[stream("begun")], execution_count=2)
    running.metadata["execution"] = {"iopub.execute_input": (NOW + minutes(1)).isoformat()}
    outcome = read(at(NOW, 1), running, at(THEN, 3, stream("old")), since=NOW, has_failed=True)
    assert (outcome.stopped_in, outcome.runs[1].lines) == (2, ("begun",))


def test_cell_whose_kernel_died_at_once_is_of_this_run() -> None:
    dead = code("x", metadata={"execution": {}})
    outcome = read(at(NOW, 1), dead, at(THEN, 3, stream("old")), since=NOW, has_failed=True)
    assert (outcome.stopped_in, [run.has_run for run in outcome.runs]) == (2, [True, True, False])


def test_counts_do_not_matter_where_there_are_times() -> None:
    cells = [at(NOW, 9), at(NOW + minutes(1), 1, stream("after a reset")), at(NOW + minutes(2), 2)]
    assert [run.has_run for run in read(*cells).runs] == [True, True, True]

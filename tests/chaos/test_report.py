"""The page of `make chaos`, and which trials are chosen."""

from __future__ import annotations

from argparse import Namespace
from itertools import chain
from pathlib import Path
from typing import Any

import pytest

from chaos.__main__ import PARTS, SEED, TRIALS, choose
from chaos.cloud import duplicates, is_run_again
from chaos.report import Part, section, write
from chaos.running import Verdict
from chaos.soak import is_flat


def _part(database: str, lost: int) -> Part:
    trial = Verdict(number=1, row=("polling", "sync", "task process"), ids="service", lost=lost, note="why")
    return Part(database, f"python -m chaos of {database}", 7, "abc1234", [trial], [], [])


def test_each_run_replaces_the_section_of_its_database(tmp_path: Path) -> None:
    page = tmp_path / "chaos.md"
    for database, lost in (("SQLite", 1), ("PostgreSQL", 0), ("SQLite", 0)):
        write(page, _part(database, lost))
    text = page.read_text()
    assert [line for line in text.splitlines() if line.startswith("#")] == [
        "# Effects of kills and faults",
        "## PostgreSQL",
        "## SQLite",
    ]
    assert text.count("`python -m chaos of SQLite`") == text.count("`python -m chaos of PostgreSQL`") == 1
    assert text.count("commit `abc1234`, seed 7") == 2
    assert "1 lost" not in text


def job(created: int, **states: int) -> dict[str, Any]:
    """Return a job as the emulator records it, from the seconds of its creation and of its states."""

    def second(number: int) -> str:
        return f"2026-11-22T10:00:{number:02d}+00:00"

    history = [{"state": f"JOB_STATE_{state}", "time": second(number)} for state, number in states.items()]
    return {"createTime": second(created), "state": history[-1]["state"], "history": history}


GOOD = job(20, RUNNING=21, SUCCEEDED=30)


@pytest.mark.parametrize(
    ("jobs", "twice", "is_again"),
    [
        ([GOOD], 0, False),
        ([job(1, RUNNING=2, FAILED=10), GOOD], 0, False),
        ([job(1, RUNNING=2, EXPIRED=10), GOOD], 0, False),
        ([job(1, RUNNING=2, CANCELLING=10, CANCELLED=11), GOOD], 0, True),
        ([job(1, RUNNING=2, SUCCEEDED=10), GOOD], 1, True),
        ([job(1, RUNNING=2, SUCCEEDED=22), GOOD], 1, True),
        ([job(1, RUNNING=2, CANCELLING=22, CANCELLED=23), GOOD], 1, True),
        ([job(1, RUNNING=2, FAILED=22), GOOD], 1, True),
        ([job(1, QUEUED=1, CANCELLED=25), GOOD], 0, True),
    ],
    ids=[
        "one",
        "after one that failed",
        "after one that expired",
        "after a healthy one that was ended",
        "after a success",
        "beside a success",
        "beside one that is ended later",
        "beside one that fails later",
        "beside one that never ran",
    ],
)
def test_duplicates_and_runs_again_are_counted(jobs: list[dict[str, Any]], twice: int, is_again: bool) -> None:
    assert (duplicates(jobs), is_run_again(jobs)) == (twice, is_again)


def test_runs_again_are_reported_and_are_good() -> None:
    rows = [("polling", "API server", 1), ("before the create", "API server", 0), ("polling", "emulator", 0)]
    trials = [
        Verdict(number=number, row=(step, "sync", what), ids="service", again=again)
        for number, (step, what, again) in enumerate(rows)
    ]
    assert all(trial.is_good for trial in trials)
    text = section(Part("SQLite", "", 7, "abc1234", trials, [], []))
    assert "\nRun again: API server 1 of 2.\n" in text
    assert "\nRun again: none.\n" in section(Part("SQLite", "", 7, "abc1234", trials[1:], [], []))


def chosen(*numbers: int, parts: list[str] = PARTS) -> list[int]:
    """Return the numbers of the chosen trials and actions."""
    plan, actions = choose(Namespace(part=parts, seed=SEED, trials=TRIALS, actions=2, number=numbers))
    return [*(trial.number for trial in chain(plan.alone, *plan.outages)), *actions]


def test_trials_and_actions_can_be_chosen_by_number() -> None:
    every = chosen()
    assert len(set(every)) == len(every)
    assert [chosen(number) for number in chosen(parts=["actions"])] == [
        [number] for number in chosen(parts=["actions"])
    ]
    assert chosen(5003, 7) == [7, 5003]
    batch = chosen(chosen(parts=["outages"])[0])
    assert len(batch) == 8
    assert chosen(batch[-1]) == batch


@pytest.mark.parametrize("parts", [PARTS, ["alone"]])
def test_an_unknown_number_is_refused_with_the_known_ones(parts: list[str]) -> None:
    with pytest.raises(LookupError, match=r"--number 4999 is unknown: use one of 1-\d+"):
        chosen(1, 4999, parts=parts)


@pytest.mark.parametrize(
    ("memory", "threads", "sockets", "flat"),
    [
        ((200, 209), 2, 1, True),
        ((200, 180), 1, 0, True),
        ((200, 211), 1, 1, False),
        ((200, 200), 3, 1, False),
        ((200, 200), 1, 2, False),
    ],
    ids=["little more", "less", "memory", "threads", "sockets"],
)
def test_growth_of_memory_threads_or_sockets_is_detected(
    memory: tuple[float, float], threads: int, sockets: int, flat: bool
) -> None:
    assert is_flat(memory, before=(1, 1), after=(threads, sockets)) is flat

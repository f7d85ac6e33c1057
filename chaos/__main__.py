"""Kill processes of a real Airflow at every step of a task, and count the jobs."""

from __future__ import annotations

import argparse
import contextlib
import json
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path

from chaos import report
from chaos.acting import run_actions
from chaos.actions import Action, number_actions
from chaos.plan import Plan, make_plan
from chaos.postgres import postgres
from chaos.running import Verdict, run_plan
from chaos.site import Site

SEED = 20261122
TRIALS = 220
"""Includes twenty spare ones, since a step that is not reached proves nothing. A larger table has more."""
BATCH = 8
"""How many tasks one outage affects."""

PARTS = ["actions", "outages", "alone"]
"""Actions of people and deadlines; outages, which affect all tasks; faults of one task."""

AT_ONCE = {"sqlite": 4, "postgresql": 10}
"""How many tasks run at once. With more, Airflow's own processes fail because SQLite is locked."""


def main() -> int:
    """Run the trials, write the page, and return 1 if one is bad."""
    parser = argparse.ArgumentParser(prog="make chaos", description=__doc__)
    parser.add_argument("--database", choices=["sqlite", "postgresql"], action="append", help="default: both")
    parser.add_argument("--seed", type=int, default=SEED, help="default: %(default)s")
    parser.add_argument("--trials", type=int, default=TRIALS, help="minimum number; default: %(default)s")
    parser.add_argument("--part", choices=PARTS, action="append", help="default: all")
    parser.add_argument("--actions", type=int, default=2, help="how often each action is done; default: %(default)s")
    parser.add_argument(
        "--number", type=int, action="append", help="only this trial or action; a trial of an outage includes its batch"
    )
    parser.add_argument("--page", type=Path, help="the page whose section about the database is replaced")
    options = parser.parse_args()
    try:
        plan, actions = choose(options)
    except LookupError as error:
        parser.error(str(error))
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:  # nohup ignores it
            signal.signal(number, _interrupt)
    commit = report.commit()  # before the page is written
    is_good = True
    for database in options.database or AT_ONCE:
        part = _run(database, options, commit, plan, actions)
        if options.page:
            report.write(options.page, part)
        print(f"# {part.database}\n\n{report.section(part)}", flush=True)
        is_good &= all(each.is_good for each in [*part.trials, *part.actions])
    return int(not is_good)


def choose(options: argparse.Namespace) -> tuple[Plan, dict[int, Action]]:
    """Return the trials and the actions that the options select.

    :raises LookupError: if --number is unknown.
    """
    parts = options.part or PARTS
    plan = make_plan(options.seed, options.trials, BATCH)
    alone = plan.alone if "alone" in parts else []
    outages = plan.outages if "outages" in parts else []
    actions = number_actions(options.actions) if "actions" in parts else {}
    if options.number:
        selected = set(options.number)
        known = {trial.number for trial in chain(alone, *outages)} | actions.keys()
        if not selected <= known:
            raise LookupError(f"--number {min(selected - known)} is unknown: use one of {_ranges(known)}")
        alone = [trial for trial in alone if trial.number in selected]
        outages = [batch for batch in outages if selected & {trial.number for trial in batch}]
        actions = {number: action for number, action in actions.items() if number in selected}
    return Plan(alone, outages), actions


def _ranges(numbers: set[int]) -> str:
    """Return numbers as text such as `1-3, 7-9`."""
    firsts = sorted(number for number in numbers if number - 1 not in numbers)
    lasts = sorted(number for number in numbers if number + 1 not in numbers)
    return ", ".join(f"{first}-{last}" for first, last in zip(firsts, lasts, strict=True))


def _run(database: str, options: argparse.Namespace, commit: str, plan: Plan, chosen: dict[int, Action]) -> report.Part:
    at_once = AT_ONCE[database]
    folder = Path(tempfile.mkdtemp(prefix=f"chaos-{database}-"))
    print(f"{database}: all files are in {folder}", flush=True)
    with _database(database) as address, Site(folder, address) as site:
        actions = _recorded(run_actions(site, chosen, at_once), folder)
        trials = _recorded(run_plan(site, plan, at_once), folder)
    if all(each.is_good for each in [*trials, *actions]):
        shutil.rmtree(folder)
    selection = "".join(f" --part {part}" for part in options.part or ())
    selection += "".join(f" --number {number}" for number in options.number or ())
    command = f"python -m chaos --database {database} --seed {options.seed} --trials {options.trials}{selection}"
    name = {"sqlite": "SQLite", "postgresql": "PostgreSQL"}[database]
    return report.Part(name, command, options.seed, commit, trials, actions, site.airflow.deaths)


def _database(name: str) -> contextlib.AbstractContextManager[str | None]:
    return postgres() if name == "postgresql" else contextlib.nullcontext()


def _recorded(verdicts: Iterable[Verdict], folder: Path) -> list[Verdict]:
    """Print each verdict, and write it to a file with its jobs."""
    return list(_record(verdicts, folder))


def _record(verdicts: Iterable[Verdict], folder: Path) -> Iterator[Verdict]:
    with (folder / "verdicts.jsonl").open("a") as file:
        for each in verdicts:
            word = "good" if each.is_good else "BAD "
            print(
                f"{word} {each.seconds:6.1f} s  {', '.join(filter(None, each.row))} ({each.ids}) {each.note}",
                flush=True,
            )
            file.write(json.dumps(each.to_json()) + "\n")
            yield each


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())

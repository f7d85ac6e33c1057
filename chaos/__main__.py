"""Real Airflow processes are killed at every step of a task's life, and the jobs are counted."""

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
from chaos.deeds import Deed, number_deeds
from chaos.doing import do_deeds
from chaos.plan import Plan, make_plan
from chaos.postgres import postgres
from chaos.running import Verdict, run_plan
from chaos.site import Site

SEED = 20261122
TRIALS = 220
"""Twenty more than are wanted: a step that is not met proves nothing. There are more when the table has more cells."""
BATCH = 8
"""How many tasks an outage happens to."""

PARTS = ["deeds", "outages", "alone"]
"""What people and deadlines do; what happens to all tasks at once; what happens to one task alone."""

AT_ONCE = {"sqlite": 4, "postgresql": 10}
"""How many tasks go on at once: when more do, Airflow's own processes die of SQLite's lock."""


def main() -> int:
    """Run the trials, write the page, and return 1 when anything is not as it must be."""
    parser = argparse.ArgumentParser(prog="make chaos", description=__doc__)
    parser.add_argument("--database", choices=["sqlite", "postgresql"], action="append", help="both by default")
    parser.add_argument("--seed", type=int, default=SEED, help="%(default)s by default")
    parser.add_argument("--trials", type=int, default=TRIALS, help="how many at least, %(default)s by default")
    parser.add_argument("--part", choices=PARTS, action="append", help="all by default")
    parser.add_argument("--deeds", type=int, default=2, help="times that each thing people do is done")
    parser.add_argument(
        "--number", type=int, action="append", help="only this trial or deed; one of an outage, with its batch"
    )
    parser.add_argument("--page", type=Path, help="the page whose section of the database is written anew")
    options = parser.parse_args()
    try:
        plan, deeds = choose(options)
    except LookupError as error:
        parser.error(str(error))
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:  # as nohup has it
            signal.signal(number, _interrupt)
    commit = report.commit()  # before the page is written, which would make it differ
    is_good = True
    for database in options.database or AT_ONCE:
        part = _run(database, options, commit, plan, deeds)
        if options.page:
            report.write(options.page, part)
        print(f"# {part.database}\n\n{report.section(part)}", flush=True)
        is_good &= all(each.is_good for each in [*part.trials, *part.deeds])
    return int(not is_good)


def choose(options: argparse.Namespace) -> tuple[Plan, dict[int, Deed]]:
    """Return the trials and the deeds that are asked for.

    :raises LookupError: when none has the number that is asked for.
    """
    parts = options.part or PARTS
    plan = make_plan(options.seed, options.trials, BATCH)
    alone = plan.alone if "alone" in parts else []
    outages = plan.outages if "outages" in parts else []
    deeds = number_deeds(options.deeds) if "deeds" in parts else {}
    if options.number:
        wanted = set(options.number)
        there = {trial.number for trial in chain(alone, *outages)} | deeds.keys()
        if not wanted <= there:
            raise LookupError(f"--number {min(wanted - there)} is none of {_ranges(there)}")
        alone = [trial for trial in alone if trial.number in wanted]
        outages = [batch for batch in outages if wanted & {trial.number for trial in batch}]
        deeds = {number: deed for number, deed in deeds.items() if number in wanted}
    return Plan(alone, outages), deeds


def _ranges(numbers: set[int]) -> str:
    """Return numbers as `1-3, 7-9`."""
    firsts = sorted(number for number in numbers if number - 1 not in numbers)
    lasts = sorted(number for number in numbers if number + 1 not in numbers)
    return ", ".join(f"{first}-{last}" for first, last in zip(firsts, lasts, strict=True))


def _run(database: str, options: argparse.Namespace, commit: str, plan: Plan, chosen: dict[int, Deed]) -> report.Part:
    at_once = AT_ONCE[database]
    folder = Path(tempfile.mkdtemp(prefix=f"chaos-{database}-"))
    print(f"{database}: everything that is written is in {folder}", flush=True)
    with _database(database) as address, Site(folder, address) as site:
        deeds = _told(do_deeds(site, chosen, at_once), folder)
        trials = _told(run_plan(site, plan, at_once), folder)
    if all(each.is_good for each in [*trials, *deeds]):
        shutil.rmtree(folder)
    asked = "".join(f" --part {part}" for part in options.part or ())
    asked += "".join(f" --number {number}" for number in options.number or ())
    command = f"python -m chaos --database {database} --seed {options.seed} --trials {options.trials}{asked}"
    name = {"sqlite": "SQLite", "postgresql": "PostgreSQL"}[database]
    return report.Part(name, command, options.seed, commit, trials, deeds, site.airflow.deaths)


def _database(name: str) -> contextlib.AbstractContextManager[str | None]:
    return postgres() if name == "postgresql" else contextlib.nullcontext()


def _told(verdicts: Iterable[Verdict], folder: Path) -> list[Verdict]:
    """Print each verdict as it comes, and keep it with its jobs."""
    return list(_telling(verdicts, folder))


def _telling(verdicts: Iterable[Verdict], folder: Path) -> Iterator[Verdict]:
    with (folder / "verdicts.jsonl").open("a") as kept:
        for each in verdicts:
            word = "good" if each.is_good else "BAD "
            print(
                f"{word} {each.seconds:6.1f} s  {', '.join(filter(None, each.row))} ({each.ids}) {each.note}",
                flush=True,
            )
            kept.write(json.dumps(each.to_json()) + "\n")
            yield each


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())

"""What a run of trials shows, as a page."""

from __future__ import annotations

import fcntl
import os
import platform
import subprocess
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

from chaos.plan import STEPS, TROUBLES
from chaos.running import Verdict

ROOT = Path(__file__).resolve().parent.parent

_ORDER = [*(step.says for step in STEPS.values()), *dict.fromkeys(trouble.step for trouble in TROUBLES.values())]

_MEANING = """\
A *duplicate* is a second job of a run that ran a cell though the first had neither failed nor been ended. An *orphan*
is a job that still runs when its task is over. A *lost* result is a task that did not succeed, or whose XCom does not
name a job that did. A trial in which the fault was not met counts as *not met*, and fails. Each cell is
`duplicates / orphans / lost of trials`. *Run again* are trials in which more than one job was made though none had
failed: as a rule a healthy job was ended first, so the notebook was begun twice and came to its end once. They are
counted under each table, by what happened, and fail nothing.

The trials have eight retries, the first after 2 s, each next one after twice as long, up to a minute. A try that cannot
begin counts as one for Airflow, and its API server is away in a part of them: with three retries a second apart, a task
ran out of tries before the server was back. What happens with no retry left has rows of its own, under each table.
"""


class Part(NamedTuple):
    """What was seen on one database.

    :ivar commit: the one that was checked out when it began.
    :ivar deeds: what came of what people and deadlines did.
    :ivar deaths: Airflow's own processes that died though nobody killed them.
    """

    database: str
    command: str
    seed: int
    commit: str
    trials: list[Verdict]
    deeds: list[Verdict]
    deaths: list[str]


def write(page: Path, part: Part) -> None:
    """Put what was seen on one database into the page, and leave what it says of the other one.

    Two runs may end at the same moment: one waits for the other.
    """
    with page.open("a+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.seek(0)
        text = with_section(file.read(), part.database, section(part))
        file.truncate(0)
        file.write(text)


def with_section(text: str, database: str, section: str) -> str:
    """Return a page with one section put in or replaced; the sections are in the order of their names."""
    sections = {each.partition("\n")[0]: each for each in text.split("\n## ")[1:]}
    sections[database] = f"{database}\n\n{section}"
    told = [f"## {sections[name].strip()}\n" for name in sorted(sections)]
    return "\n".join(["# What kills and faults do\n", _MEANING, *told])


def section(part: Part) -> str:
    """Return what was seen on one database."""
    lines = [_circumstances(part), "", summary(part.trials), "", *table(part.trials), ""]
    lines += [run_again(part.trials), ""]
    if part.deaths:
        counted = ", ".join(f"{name} {count}" for name, count in sorted(Counter(part.deaths).items()))
        lines += [f"Airflow's own processes died by themselves meanwhile, and were started again: {counted}.", ""]
    if part.deeds:
        lines += ["### People, deadlines, and no retry left", "", *deed_table(part.deeds), ""]
    bad = [each for each in [*part.trials, *part.deeds] if not each.is_good]
    return "\n".join([*lines, *(f"- {each.note}: {', '.join(filter(None, each.row))}" for each in bad)])


def _circumstances(part: Part) -> str:
    return (
        f"`{part.command}`, {datetime.now(UTC):%Y-%m-%d}, commit `{part.commit}`, seed {part.seed}; Airflow "
        f"{version('apache-airflow')}, Python {platform.python_version()}, {platform.system()} with {os.cpu_count()} "
        "cores."
    )


def summary(verdicts: Sequence[Verdict]) -> str:
    """Return the sums in a sentence."""
    counts = {
        name: sum(getattr(each, name) for each in verdicts) for name in ("duplicates", "orphans", "lost", "missed")
    }
    return (
        f"**{len(verdicts)} trials with retries: {counts['duplicates']} duplicates, {counts['orphans']} orphans, "
        f"{counts['lost']} lost results; {counts['missed']} not met.**"
    )


def run_again(verdicts: Iterable[Verdict]) -> str:
    """Return a sentence: in how many trials a job was made though none had failed, by what happened."""
    of, again = Counter[str](), Counter[str]()
    for each in verdicts:
        what = each.row[-1]
        of[what] += 1
        again[what] += each.again
    counted = [f"{what} {count} of {of[what]}" for what, count in sorted(again.items()) if count]
    return f"Run again: {', '.join(counted) or 'none'}."


def table(verdicts: Iterable[Verdict]) -> list[str]:
    """Return the table of trials: a row for each step, mode and harm, a column for each kind of job ids."""
    rows: dict[tuple[str, str, str], dict[str, list[Verdict]]] = defaultdict(lambda: defaultdict(list))
    for each in verdicts:
        rows[each.row][each.ids].append(each)
    head = [
        "| step | mode | what happens | ids of the service | `deterministic_job_id=True` |",
        "|---|---|---|---|---|",
    ]
    return head + [
        f"| {step} | {mode} | {what} | {_cell(found['service'])} | {_cell(found['own'])} |"
        for (step, mode, what), found in sorted(rows.items(), key=lambda row: (_ORDER.index(row[0][0]), row[0]))
    ]


def deed_table(verdicts: Iterable[Verdict]) -> list[str]:
    """Return the table of what people and deadlines did: whether the job ended, and after how long."""
    rows: dict[tuple[str, str, str], list[Verdict]] = defaultdict(list)
    for each in verdicts:
        rows[each.row].append(each)
    head = ["| what happens | trials | as it must be | slowest end of the job |", "|---|---|---|---|"]
    return head + [
        f"| {what} | {len(found)} | {sum(each.is_good for each in found)} | {max(each.seconds for each in found):g} s |"
        for (_, _, what), found in rows.items()
    ]


def _cell(found: Sequence[Verdict]) -> str:
    if not found:
        return ""
    sums = " / ".join(str(sum(getattr(each, name) for each in found)) for name in ("duplicates", "orphans", "lost"))
    missed = sum(each.missed for each in found)
    return f"{sums} of {len(found)}" + (f" ({missed} not met)" if missed else "")


def commit() -> str:
    """Return the commit that is checked out, marked when files other than the pages under ``docs`` differ from it."""
    checked_out = _git("rev-parse", "--short", "HEAD")
    differs = _git("status", "--porcelain", "--untracked-files=no", "--", ".", ":!docs")
    return (checked_out or "unknown") + ("-dirty" if differs else "")


def _git(*arguments: str) -> str:
    call = ["git", *arguments]
    return subprocess.run(call, cwd=ROOT, text=True, check=False, stdout=subprocess.PIPE).stdout.strip()  # noqa: S603 - whichever git there is

"""The page with the results of the trials."""

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
A *duplicate* is a second job of a run that ran a cell although the first job had neither failed nor been ended. An
*orphan* is a job that still runs when its task is over. A *lost* result is a task that did not succeed, or whose XCom
does not name a job that succeeded. If the fault did not happen, the trial counts as *not met*, and fails. Each cell is
`duplicates / orphans / lost of trials`. *Run again* counts trials in which more than one job was created although no
job had failed. Usually a healthy job was ended first: the notebook was started twice and completed once. These trials
are listed under each table, by what happened, and do not fail.

The trials have eight retries. The first follows after 2 s, and the delay doubles up to a minute. Airflow also counts a
try that cannot start, and in some trials its API server is away: with three retries, one second apart, a task used up
its tries before the server was back. Tasks without a retry left have their own rows, under each table.
"""


class Part(NamedTuple):
    """The results on one database.

    :ivar commit: the commit at the start.
    :ivar actions: the verdicts on actions of people and deadlines.
    :ivar deaths: processes of Airflow that ended although no trial killed them.
    """

    database: str
    command: str
    seed: int
    commit: str
    trials: list[Verdict]
    actions: list[Verdict]
    deaths: list[str]


def write(page: Path, part: Part) -> None:
    """Replace the section of one database in the page.

    The file is locked, since two runs may end at the same time.
    """
    with page.open("a+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.seek(0)
        text = with_section(file.read(), part.database, section(part))
        file.truncate(0)
        file.write(text)


def with_section(text: str, database: str, section: str) -> str:
    """Return a page with one section added or replaced; sections are sorted by name."""
    sections = {each.partition("\n")[0]: each for each in text.split("\n## ")[1:]}
    sections[database] = f"{database}\n\n{section}"
    parts = [f"## {sections[name].strip()}\n" for name in sorted(sections)]
    return "\n".join(["# Effects of kills and faults\n", _MEANING, *parts])


def section(part: Part) -> str:
    """Return the section of one database."""
    lines = [_circumstances(part), "", summary(part.trials), "", *table(part.trials), ""]
    lines += [run_again(part.trials), ""]
    if part.deaths:
        counted = ", ".join(f"{name} {count}" for name, count in sorted(Counter(part.deaths).items()))
        lines += [f"Processes of Airflow that ended by themselves and were started again: {counted}.", ""]
    if part.actions:
        lines += ["### People, deadlines, and tasks without a retry", "", *action_table(part.actions), ""]
    bad = [each for each in [*part.trials, *part.actions] if not each.is_good]
    return "\n".join([*lines, *(f"- {each.note}: {', '.join(filter(None, each.row))}" for each in bad)])


def _circumstances(part: Part) -> str:
    return (
        f"`{part.command}`, {datetime.now(UTC):%Y-%m-%d}, commit `{part.commit}`, seed {part.seed}; Airflow "
        f"{version('apache-airflow')}, Python {platform.python_version()}, {platform.system()} with {os.cpu_count()} "
        "cores."
    )


def summary(verdicts: Sequence[Verdict]) -> str:
    """Return a sentence with the sums."""
    counts = {
        name: sum(getattr(each, name) for each in verdicts) for name in ("duplicates", "orphans", "lost", "missed")
    }
    return (
        f"**{len(verdicts)} trials with retries: {counts['duplicates']} duplicates, {counts['orphans']} orphans, "
        f"{counts['lost']} lost results; {counts['missed']} not met.**"
    )


def run_again(verdicts: Iterable[Verdict]) -> str:
    """Return a sentence: in how many trials a job was created although no job had failed, by what happened."""
    of, again = Counter[str](), Counter[str]()
    for each in verdicts:
        what = each.row[-1]
        of[what] += 1
        again[what] += each.again
    counted = [f"{what} {count} of {of[what]}" for what, count in sorted(again.items()) if count]
    return f"Run again: {', '.join(counted) or 'none'}."


def table(verdicts: Iterable[Verdict]) -> list[str]:
    """Return the table of trials: a row for each step, mode and fault, a column for each kind of job ids."""
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


def action_table(verdicts: Iterable[Verdict]) -> list[str]:
    """Return the table of actions: how many were good, and how long the job took to end."""
    rows: dict[tuple[str, str, str], list[Verdict]] = defaultdict(list)
    for each in verdicts:
        rows[each.row].append(each)
    head = ["| what happens | trials | good | slowest end of the job |", "|---|---|---|---|"]
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
    """Return the commit, with ``-dirty`` if files outside ``docs`` differ from it."""
    checked_out = _git("rev-parse", "--short", "HEAD")
    differs = _git("status", "--porcelain", "--untracked-files=no", "--", ".", ":!docs")
    return (checked_out or "unknown") + ("-dirty" if differs else "")


def _git(*arguments: str) -> str:
    call = ["git", *arguments]
    return subprocess.run(call, cwd=ROOT, text=True, check=False, stdout=subprocess.PIPE).stdout.strip()  # noqa: S603 - git

"""The page of answers: each question of docs/assumptions.md, and what the service did."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal
from xml.etree import ElementTree as ET

__all__ = ["Answer", "answers", "page"]

Outcome = Literal["as assumed", "contradicted", "not asked"]

# What lets the emulator behave in the other way.
_SWITCHES = {
    "test_a_regex_must_match_the_whole_name": "`nbjobs emulator --filter-match part`",
    "test_cancelling_the_create_operation_cancels_the_job": 'a fault `{"method": "cancel", "status": 400}`',
    "test_an_own_id_is_the_id_of_the_job": 'a fault `{"job_state": ["JOB_STATE_PENDING"]}`',
}


@dataclass(frozen=True)
class Answer:
    """What the service said to one question.

    :ivar tests: names of the tests that ask it.
    :ivar said: the failure of the first test that contradicts the assumption; else empty.
    """

    question: str
    assumption: str
    tests: tuple[str, ...]
    outcome: Outcome
    said: str = ""


def answers(assumptions: str, report: str) -> list[Answer]:
    """Join the questions with the outcome of their tests.

    :param assumptions: the text of docs/assumptions.md.
    :param report: JUnit's XML, of pytest.
    """
    outcomes = _outcomes(report)
    found = []
    for question, assumption, last in re.findall(r"^\| (.+?) \| (.+?) \| (`test_.+?) \|$", assumptions, re.MULTILINE):
        tests = tuple(re.findall(r"`(test_\w+)`", last))
        said = [text for test in tests for text in outcomes.get(test, [])]
        failed = next(filter(None, said), "")
        outcome: Outcome = "contradicted" if failed else "as assumed" if said else "not asked"
        found.append(Answer(question, assumption, tests, outcome, failed))
    return found


def _outcomes(report: str) -> dict[str, list[str]]:
    """Return for each test the messages of its runs: empty for one that passed. Skipped runs are left out."""
    found: dict[str, list[str]] = {}
    for case in ET.fromstring(report).iter("testcase"):  # noqa: S314 - pytest's own file
        if case.find("skipped") is not None:
            continue
        problem = next((each for kind in ("failure", "error") if (each := case.find(kind)) is not None), None)
        message = "" if problem is None else (problem.get("message") or "it failed")
        found.setdefault(case.get("name", "").partition("[")[0], []).append(message)
    return found


def page(found: list[Answer], commit: str) -> str:
    """Return the page in Markdown."""
    asked = {outcome: sum(answer.outcome == outcome for answer in found) for outcome in ("as assumed", "contradicted")}
    summary = (
        f"`make live`, {datetime.now(UTC):%Y-%m-%d}, commit `{commit}`: {asked['as assumed']} as assumed, "
        f"{asked['contradicted']} contradicted, of {len(found)} questions."
    )
    lines = [
        "# What the real service answered",
        "",
        summary,
        "",
        "| question | assumption | the service | the emulator can play it |",
        "|---|---|---|---|",
    ]
    for answer in found:
        said = " ".join(answer.said.replace("|", "\\|").replace("`", "'").split())[:300]
        shown = f"**contradicted**: {said}" if said else answer.outcome
        switch = next((_SWITCHES[test] for test in answer.tests if test in _SWITCHES), "")
        lines.append(f"| {answer.question} | {answer.assumption} | {shown} | {switch} |")
    return "\n".join([*lines, ""])

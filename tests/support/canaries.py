"""What the tests keep secret is a canary, and after each test it is looked whether one shows where none may.

A test that keeps something secret makes it of :data:`MARK`, or gives it to :func:`plant`: a token or key of a
connection, a notebook's source, a parameter that is a secret by its name. Looked through after each test is

- what it printed and logged, as far as pytest captures it, and each of the package's errors in its own process;
- what a :class:`~tests.support.task_runs.TaskRun` stored: XComs, events, deferrals and rendered fields;
- what the emulators among its fixtures know of their jobs but their content: labels, names, states;
- what it gives to :func:`tell`;

and, when all tests are done, the logs and SQLite databases of the Airflows that ran under pytest's temporary folder or
in `AIRFLOW_HOME`. A database elsewhere, and a log that is not there any more, is not.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
from collections.abc import Generator, Iterable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from packaging.version import Version

from airflow_nbjobs.emulator import Emulator
from airflow_nbjobs.exceptions import NbjobsError

MARK = "canary-in-a-mine"
TOKEN = f"{MARK}-token"

_KEPT = ("*.log", "*.db*", "logs/**/*")
"""What logs and SQLite databases of an Airflow are called, which people other than the DAG's author can see.

What Airflow encrypts in its database is no longer a canary there: connections, variables, what a deferral keeps.
"""

_MASKS_FIELDS = Version(version("apache-airflow-core")) >= Version("3.1.4")
"""Whether Airflow masks secrets in the rendered fields of any task that it stores."""

_hidden: set[str] = set()
_written: list[tuple[str, str]] = []
_runs: list[Any] = []


def _encoded(text: str) -> Iterator[str]:
    """Return how a text may look within base64: by where it begins."""
    for before in range(3):
        code = base64.b64encode(b" " * before + text.encode()).decode()
        yield code[4 if before else 0 : -4]


def plant(secret: str) -> str:
    """Make a canary of a text that has no mark, each of its long lines; return the text."""
    _hidden.update(line for line in secret.splitlines() if len(line) >= 40)
    return secret


def watch(run: Any) -> None:
    """Look at what a :class:`~tests.support.task_runs.TaskRun` leaves, when the test is over."""
    _runs.append(run)


def tell(where: str, text: object) -> None:
    """Look at a text when the test is over."""
    _written.append((where, str(text)))


def shows_canary(text: str) -> bool:
    """Return whether a canary is in a text, or the mark in base64 there."""
    return any(each in text for each in (MARK, *_encoded(MARK), *_hidden))


def pytest_configure() -> None:
    """Have each error of the package noted, whether or not it leaves the test."""

    def noted(cls: type[NbjobsError], *args: Any, **kwargs: Any) -> NbjobsError:
        tell(f"the message of {cls.__name__}", " ".join(map(str, args)))
        error: NbjobsError = super(NbjobsError, cls).__new__(cls, *args, **kwargs)
        return error

    NbjobsError.__new__ = noted


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, None, None]:
    """Look at what the test left, while its fixtures are still there."""
    yield
    # A test has the emulator itself, or what holds it.
    given = [getattr(value, "emulator", value) for value in item.funcargs.values()]  # type: ignore[attr-defined]  # all are functions
    for emulator in [value for value in given if isinstance(value, Emulator)]:
        for job in emulator.book(os.environ.get("GOOGLE_CLOUD_PROJECT")):
            tell("the emulator's book", json.dumps(job))
    for run in _runs:
        _tell_of_run(run)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Fail a test when it is over and something shows a canary."""
    report = yield
    if report.when == "teardown":
        found = _showing([*report.sections, *_written])
        _written.clear()
        _runs.clear()
        if found and report.passed:
            report.outcome = "failed"
            report.longrepr = f"A secret of {item.nodeid} shows in {', '.join(found)}."
    return report


@pytest.fixture(scope="session", autouse=True)
def no_canary_in_any_file(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Look, when all tests are done, at what Airflows have kept under pytest's folder and in `AIRFLOW_HOME`."""
    yield
    homes = [tmp_path_factory.getbasetemp(), Path(os.environ.get("AIRFLOW_HOME", "/nowhere"))]
    files = [path for home in homes for kind in _KEPT for path in home.rglob(kind) if path.is_file()]
    if found := _showing((str(path), path.read_bytes().decode(errors="replace")) for path in files):
        pytest.fail(f"A secret of the tests is in {', '.join(found)}.", pytrace=False)


def _showing(texts: Iterable[tuple[str, str]]) -> list[str]:
    """Return where a canary shows."""
    return sorted({where for where, text in texts if shows_canary(text)})


def _tell_of_run(run: Any) -> None:
    # Airflow's own words for what it stores of a task's fields; there are no public ones.
    from airflow.sdk.execution_time.task_runner import _serialize_rendered_fields

    if _MASKS_FIELDS:
        with contextlib.suppress(ValueError):  # Airflow 3.1 refuses to store some fields
            tell("a rendered field", _serialize_rendered_fields(run.operator))
    tell("an XCom", run.ti.xcoms)
    tell("an event", run.events)
    tell("a deferral", [deferral.trigger.serialize() for deferral in run.deferrals])

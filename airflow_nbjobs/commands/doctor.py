"""``nbjobs doctor``: check what a run needs, before the first run."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING

from airflow_nbjobs.commands.connection import VARIABLES, add_run_options, new_hook
from airflow_nbjobs.commands.console import printable, quiet_airflow
from airflow_nbjobs.exceptions import CredentialsError

if TYPE_CHECKING:
    from airflow_nbjobs.doctor.findings import Finding

__all__ = ["DESCRIPTION", "add_doctor", "add_options", "doctor"]

_MARKS = {"good": "✓", "bad": "✗", "unknown": "?"}


DESCRIPTION = (
    "Check this machine, the connection, the permissions and what a run uses. Each check prints ✓, ✗ or ?, and what to "
    "do. No job is created; the output bucket gets a small object, which is deleted again. Without --location, only "
    "this machine is checked. The exit code is 1 if a check found a fault."
)


def add_doctor(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the parser of ``nbjobs doctor``."""
    parser = commands.add_parser("doctor", help="check what a run needs", description=DESCRIPTION)
    add_options(parser)
    parser.set_defaults(run=doctor)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    add_run_options(parser)
    add = parser.add_argument
    add("--notebook", metavar="NOTEBOOK", help="a file, gs://bucket/name or projects/p/locations/l/repositories/r")
    add("--json", action="store_true", help="print a list of objects with check, verdict, detail and remedy")


def doctor(options: argparse.Namespace) -> int:
    """Print what is found, and return the exit code: 1 if a check found a fault.

    :param options: those of :func:`add_options`.
    """
    output, findings = sys.stdout, []
    with quiet_airflow():
        for finding in _findings(options):
            findings.append(finding)
            if not options.json:
                remedy = f"\n  {finding.remedy}" * bool(finding.remedy)
                line = f"{_MARKS[finding.verdict]} {finding.check}: {finding.detail}{remedy}"
                print(printable(line), file=output, flush=True)
    if options.json:
        shown = [{key: value for key, value in asdict(each).items() if key != "is_blocking"} for each in findings]
        print(json.dumps(shown, indent=2, ensure_ascii=False))
    return int(any(finding.verdict == "bad" for finding in findings))


def _findings(options: argparse.Namespace) -> Iterator[Finding]:
    from airflow_nbjobs.doctor.cloud import Plan, examine_cloud
    from airflow_nbjobs.doctor.findings import Finding, Verdict
    from airflow_nbjobs.doctor.machine import examine_machine

    yield from examine_machine()
    given = {name: getattr(options, name) or os.environ.get(variable) for name, variable in VARIABLES.items()}
    location = given.pop("location")
    if not location:
        yield Finding("Google Cloud", Verdict.UNKNOWN, "not checked", "Give --location, such as us-central1.")
        return
    try:
        hook = new_hook(options)
    except CredentialsError as error:
        yield Finding("credentials", Verdict.BAD, str(error))
        return
    yield from examine_cloud(hook, Plan(location, options.project, notebook=options.notebook, **given))

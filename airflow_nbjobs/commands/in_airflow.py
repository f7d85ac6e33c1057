"""Commands of ``airflow``: Airflow 3.2 and newer add those of providers, and import this module for each command."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from airflow_nbjobs.commands.doctor import DESCRIPTION, add_options, doctor

if TYPE_CHECKING:
    from airflow.cli.cli_config import Arg, CLICommand

__all__ = ["airflow_commands"]


def airflow_commands() -> list[CLICommand]:
    """Return ``airflow nbjobs doctor``."""
    from airflow.cli.cli_config import ActionCommand, GroupCommand

    check = ActionCommand("doctor", "check what a run needs", _doctor, _arguments(), DESCRIPTION)
    return [GroupCommand("nbjobs", "Check what notebook jobs need", [check])]


def _arguments() -> list[Arg]:
    """Return the options of ``nbjobs doctor`` as Airflow describes options."""
    from airflow.cli.cli_config import Arg

    parser = argparse.ArgumentParser(add_help=False)
    add_options(parser)
    found = []
    arg: Any = Arg  # without types
    for option in parser._actions:
        given: dict[str, Any] = {"action": "store_true"} if option.nargs == 0 else {"metavar": option.metavar}
        found.append(arg(tuple(option.option_strings), help=option.help, default=option.default, **given))
    return found


def _doctor(options: argparse.Namespace) -> None:
    raise SystemExit(doctor(options))  # Airflow ignores what a command returns

"""``nbjobs prune``: delete the records of old jobs."""

from __future__ import annotations

import argparse
import sys

from airflow_nbjobs.commands.connection import add_connection, duration, new_hook
from airflow_nbjobs.commands.console import Console, quiet_airflow
from airflow_nbjobs.exceptions import InvalidNotebookJobError

__all__ = ["add_prune"]


def add_prune(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the parser of ``nbjobs prune``."""
    parser = commands.add_parser(
        "prune",
        help="delete the records of old jobs",
        description="Delete the records of jobs that one Airflow deployment created and that have ended, and the "
        "staged copies of their notebooks. Executed notebooks stay. Prints the name of each deleted job on standard "
        "output and its state on standard error. A failed deletion does not stop the others; the exit code is then 2.",
    )
    parser.add_argument(
        "--older-than", type=duration, required=True, metavar="TIME", help="time since the last update, such as 30d"
    )
    add_connection(parser)
    parser.add_argument(
        "--deployment",
        metavar="NAME",
        help="the Airflow that created the jobs; default: [nbjobs] deployment, else [api] base_url",
    )
    parser.add_argument("--include-active", action="store_true", help="also delete active jobs, which ends them")
    parser.add_argument("--dry-run", action="store_true", help="show what would be deleted, and delete nothing")
    parser.set_defaults(run=_prune)


def _prune(options: argparse.Namespace) -> int:
    output = sys.stdout
    with quiet_airflow():
        from airflow_nbjobs.pruning import Pruning, ago, prune
        from airflow_nbjobs.run.identity import deployment_label

        if not options.location:
            raise InvalidNotebookJobError("--location is missing: give the region of the jobs, such as us-central1.")
        deployment = _deployment(options.deployment)
        pruning = Pruning(
            deployment_label=deployment_label(deployment),
            before=ago(options.older_than.total_seconds()),
            include_active=options.include_active,
            dry_run=options.dry_run,
        )
        console, count = Console(), 0
        for name in prune(new_hook(options), options.location, options.project, pruning, console):
            count += 1
            print(name, file=output, flush=True)  # at once: an error may follow
        verb = "Would delete" if options.dry_run else "Deleted"
        console.info("%s jobs of deployment %r: %d.", verb, deployment, count)
    return 0


def _deployment(given: str | None) -> str:
    """Return the deployment whose jobs are deleted.

    :raises InvalidNotebookJobError: if ``given`` is blank, or is ``None`` and this Airflow has no unique name.
    """
    from airflow_nbjobs import settings

    if given is None and not settings.is_deployment_certain():
        known = f" (it is {settings.deployment()!r})" if settings.deployment() else ""
        raise InvalidNotebookJobError(
            f"This Airflow has no unique name{known}. Give --deployment, or set [nbjobs] deployment."
        )
    name = settings.deployment() if given is None else given
    if not name.strip():
        raise InvalidNotebookJobError(
            f"--deployment {name!r} is blank: is a variable of the shell not set? Give the name of the Airflow that "
            "created the jobs, or leave the option out."
        )
    return name

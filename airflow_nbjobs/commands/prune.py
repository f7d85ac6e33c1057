"""``nbjobs prune``: delete the records of old jobs, from outside of Airflow's schedule."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator

from airflow_nbjobs.commands.connection import add_connection, duration, new_hook
from airflow_nbjobs.commands.console import Console, airflow_kept_quiet

__all__ = ["add_prune"]


def add_prune(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Describe ``nbjobs prune``."""
    parser = commands.add_parser(
        "prune",
        help="delete the records of jobs that are over for a while",
        description="Delete the records of jobs that one Airflow made and that are over, and the copies of "
        "notebooks that were staged for them. Executed notebooks stay. "
        "Prints the name of each job once it is deleted, and tells its state on the standard error. "
        "A job that cannot be deleted keeps no other one from it; the exit code is 2 then.",
    )
    parser.add_argument(
        "--older-than", type=duration, required=True, metavar="TIME", help="time since their last update, such as 30d"
    )
    add_connection(parser)
    parser.add_argument(
        "--deployment",
        metavar="NAME",
        help="the Airflow that made them; by default this one: [nbjobs] deployment, else [api] base_url",
    )
    parser.add_argument("--include-active", action="store_true", help="delete jobs that still run too, which ends them")
    parser.add_argument("--dry-run", action="store_true", help="delete nothing, and tell what would be")
    parser.set_defaults(run=_prune)


def _prune(options: argparse.Namespace) -> int:
    output = sys.stdout
    with airflow_kept_quiet():
        for name in _pruned(options):
            print(name, file=output, flush=True)  # at once: an error may come
    return 0


def _pruned(options: argparse.Namespace) -> Iterator[str]:
    """Delete the jobs, and return the name of each."""
    from airflow_nbjobs.exceptions import InvalidNotebookJobError
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
        yield name
    done = "would be deleted" if options.dry_run else "were deleted"
    console.info("Jobs of %r that %s: %d.", deployment, done, count)


def _deployment(given: str | None) -> str:
    """Return whose jobs to delete.

    :raises InvalidNotebookJobError: when what is given is empty, or nothing is and the configured name is anybody's.
    """
    from airflow_nbjobs import settings
    from airflow_nbjobs.exceptions import InvalidNotebookJobError

    if given is None and not settings.is_deployment_certain():
        known = f", but {settings.deployment()!r}" if settings.deployment() else ""
        raise InvalidNotebookJobError(
            f"This Airflow has no name of its own{known}: say with --deployment whose jobs to delete, or set [nbjobs] "
            "deployment."
        )
    name = settings.deployment() if given is None else given
    if not name.strip():
        raise InvalidNotebookJobError(
            f"--deployment {name!r} is nobody's name, as when a variable of the shell is not set: give the name of the "
            "Airflow that made the jobs, or leave the option out."
        )
    return name

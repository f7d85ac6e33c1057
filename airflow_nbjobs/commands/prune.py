"""``nbjobs prune``: delete the records of old jobs."""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace

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
    parser.add_argument(
        "--made-by",
        choices=["deployment", "run", "any"],
        default="deployment",
        help="who created the jobs: an Airflow deployment (default), `nbjobs run`, or any of them, which includes jobs "
        "from before the deployment had a name; 'any' asks before it deletes",
    )
    parser.add_argument("--yes", action="store_true", help="do not ask")
    parser.add_argument("--include-active", action="store_true", help="also delete active jobs, which ends them")
    parser.add_argument("--dry-run", action="store_true", help="show what would be deleted, and delete nothing")
    parser.set_defaults(run=_prune)


def _prune(options: argparse.Namespace) -> int:
    output = sys.stdout
    with quiet_airflow():
        from airflow_nbjobs.pruning import Pruning, ago, prune
        from airflow_nbjobs.run.identity import deployment_label
        from airflow_nbjobs.run.task import COMMAND_LINE

        if not options.location:
            raise InvalidNotebookJobError("--location is missing: give the region of the jobs, such as us-central1.")
        if options.deployment is not None and options.made_by != "deployment":
            raise InvalidNotebookJobError(
                f"--deployment {options.deployment!r} and --made-by {options.made_by} are two makers: give one of them."
            )
        makers = {"run": COMMAND_LINE, "any": None}
        maker = makers[options.made_by] if options.made_by in makers else _deployment(options.deployment)
        pruning = Pruning(
            deployment_label=None if maker is None else deployment_label(maker),
            before=ago(options.older_than.total_seconds()),
            include_active=options.include_active,
            dry_run=options.dry_run,
        )
        hook, console, count = new_hook(options), Console(), 0
        if maker is None and not (options.yes or options.dry_run):
            listed = prune(hook, options.location, options.project, replace(pruning, dry_run=True), console)
            _confirm(len(list(listed)))
        for name in prune(hook, options.location, options.project, pruning, console):
            count += 1
            print(name, file=output, flush=True)  # at once: an error may follow
        verb = "Would delete" if options.dry_run else "Deleted"
        console.info("%s jobs of %s: %d.", verb, "any maker" if maker is None else f"deployment {maker!r}", count)
    return 0


def _confirm(count: int) -> None:
    """Ask a person whether the listed jobs may be deleted.

    :raises InvalidNotebookJobError: if not, or if no person can be asked.
    """
    print(f"Delete these {count} jobs? [y/N] ", end="", file=sys.stderr, flush=True)
    answer = sys.stdin.readline() if sys.stdin is not None else ""
    if answer.strip().lower() not in {"y", "yes"}:
        raise InvalidNotebookJobError("Nothing was deleted. Answer y, or give --yes.")


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

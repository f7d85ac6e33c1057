"""The connection of a command, which runs outside of any task: Airflow's, or the one of the machine's own account."""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import sys
from collections.abc import Iterator
from datetime import timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from airflow_nbjobs.hooks import NotebookExecutionJobHook

__all__ = ["CONNECTION", "add_connection", "check_connection", "connecting", "duration", "new_hook"]

CONNECTION = "google_cloud_default"
"""The Google provider's connection, which need not be there for a command."""

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def add_connection(parser: argparse.ArgumentParser) -> None:
    """Describe the options that say who asks, and where."""
    parser.add_argument("--location", help="region of the jobs, such as us-central1")
    parser.add_argument("--project", help="project of the jobs; the connection's by default")
    parser.add_argument(
        "--gcp-conn-id",
        default=CONNECTION,
        metavar="ID",
        help="Airflow's connection; where there is no %(default)s, application default credentials",
    )
    parser.add_argument("--impersonate", metavar="EMAIL", help="service account to impersonate")


def new_hook(options: argparse.Namespace) -> NotebookExecutionJobHook:
    """Return the hook over the connection that the options name, after a look that it has credentials.

    :raises CredentialsError: when there is no such connection, or it gives no credentials.
    """
    from airflow_nbjobs.hooks import NotebookExecutionJobHook

    check_connection(options.gcp_conn_id)
    with connecting(options.gcp_conn_id):
        hook = NotebookExecutionJobHook(gcp_conn_id=options.gcp_conn_id, impersonation_chain=options.impersonate)
        hook.get_credentials_and_project_id()
    return hook


def check_connection(name: str) -> None:
    """Look whether the connection is there; where the default one is not, an empty one takes its place.

    An empty Google connection means application default credentials.
    """
    from airflow.providers.common.compat.sdk import AirflowNotFoundException

    from airflow_nbjobs import settings
    from airflow_nbjobs.hooks import NotebookExecutionJobHook

    if name != CONNECTION or settings.emulator_address() is not None:
        return
    try:
        NotebookExecutionJobHook.get_connection(name)
    except AirflowNotFoundException:
        print(f"There is no connection {name!r}: application default credentials are used.", file=sys.stderr)
        os.environ[f"AIRFLOW_CONN_{name.upper()}"] = "google-cloud-platform://"


@contextlib.contextmanager
def connecting(name: str) -> Iterator[None]:
    """Say in one line what is wrong with a connection.

    :raises CredentialsError: in place of Airflow's and Google's own errors.
    """
    from airflow.providers.common.compat.sdk import AirflowException, AirflowNotFoundException

    from airflow_nbjobs.exceptions import CredentialsError

    try:
        yield
    except AirflowNotFoundException as error:
        raise CredentialsError(
            f"There is no connection {name!r}: add it to Airflow, set AIRFLOW_CONN_{name.upper()}, or name another "
            "one with --gcp-conn-id."
        ) from error
    except (AirflowException, CredentialsError) as error:
        raise CredentialsError(
            f"The connection {name!r} gives no credentials: {' '.join(str(error).split())} Run `gcloud auth "
            "application-default login`, or name another connection with --gcp-conn-id."
        ) from error


def duration(text: str) -> timedelta:
    """Read a time such as ``90s``, ``15m``, ``12h``, ``30d`` or ``2w``; for ``argparse``, which names the option."""
    found = re.fullmatch(r"(\d{1,6}(?:\.\d{1,3})?)([smhdw])", text)
    if found is None or float(found[1]) == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is no time: give a number and s, m, h, d or w, such as 30d")
    return timedelta(**{_UNITS[found[2]]: float(found[1])})

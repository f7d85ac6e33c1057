"""The Google Cloud connection of a command: one of Airflow's, or else application default credentials."""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import sys
from collections.abc import Iterator
from datetime import timedelta
from typing import TYPE_CHECKING

from airflow_nbjobs.exceptions import CredentialsError

if TYPE_CHECKING:
    from airflow_nbjobs.hooks import NotebookExecutionJobHook

__all__ = ["DEFAULT_CONNECTION", "VARIABLES", "add_connection", "add_run_options", "connecting", "duration", "new_hook"]

DEFAULT_CONNECTION = "google_cloud_default"
VARIABLES = {
    name: f"NBJOBS_{name.upper()}" for name in ("location", "runtime_template", "service_account", "output_uri")
}
"""Options and their environment variables, which the example DAGs use too."""
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def add_connection(parser: argparse.ArgumentParser) -> None:
    """Add the options for place and connection: ``location``, ``project``, ``gcp_conn_id``, ``impersonate``."""
    parser.add_argument("--location", help="region of the jobs, such as us-central1")
    parser.add_argument("--project", help="project of the jobs; default: the connection's project")
    parser.add_argument(
        "--gcp-conn-id",
        default=DEFAULT_CONNECTION,
        metavar="ID",
        help="Airflow connection; default: %(default)s, or application default credentials if it does not exist",
    )
    parser.add_argument("--impersonate", metavar="EMAIL", help="service account to impersonate")


def add_run_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of :func:`add_connection`, and those that every run needs."""
    add_connection(parser)
    add = parser.add_argument
    add("--runtime-template", metavar="ID", help="name or id of the runtime template ($NBJOBS_RUNTIME_TEMPLATE)")
    add("--service-account", metavar="EMAIL", help="runs the notebook ($NBJOBS_SERVICE_ACCOUNT, or the connection's)")
    add("--output-uri", metavar="URI", help="gs://bucket/folder of executed notebooks ($NBJOBS_OUTPUT_URI)")


def new_hook(options: argparse.Namespace) -> NotebookExecutionJobHook:
    """Return a hook for the options of :func:`add_connection`, after a check that it has credentials.

    :raises CredentialsError: if the connection does not exist or gives no credentials.
    """
    with connecting(options.gcp_conn_id):
        from airflow_nbjobs.hooks import NotebookExecutionJobHook

        hook = NotebookExecutionJobHook(gcp_conn_id=options.gcp_conn_id, impersonation_chain=options.impersonate)
        hook.get_credentials_and_project_id()
    return hook


@contextlib.contextmanager
def connecting(conn_id: str) -> Iterator[None]:
    """Use a connection in the block, and replace the errors of Airflow and Google by one line with a remedy.

    If the default connection does not exist, an empty one is defined: application default credentials.

    :param conn_id: id of the connection.
    :raises CredentialsError: if the connection does not exist or gives no credentials.
    """
    from airflow.providers.common.compat.sdk import AirflowException, AirflowNotFoundException

    from airflow_nbjobs import settings
    from airflow_nbjobs.hooks import NotebookExecutionJobHook

    if conn_id == DEFAULT_CONNECTION and settings.emulator_address() is None:
        try:
            NotebookExecutionJobHook.get_connection(conn_id)
        except AirflowNotFoundException:
            print(f"The connection {conn_id!r} does not exist: using application default credentials.", file=sys.stderr)
            os.environ[f"AIRFLOW_CONN_{conn_id.upper()}"] = "google-cloud-platform://"
    try:
        yield
    except AirflowNotFoundException as error:
        raise CredentialsError(
            f"The connection {conn_id!r} does not exist. Add it to Airflow, set AIRFLOW_CONN_{conn_id.upper()}, or "
            "use another one with --gcp-conn-id."
        ) from error
    except (AirflowException, CredentialsError) as error:
        raise CredentialsError(
            f"The connection {conn_id!r} gives no credentials: {' '.join(str(error).split())} Run `gcloud auth "
            "application-default login`, or use another connection with --gcp-conn-id."
        ) from error


def duration(text: str) -> timedelta:
    """Parse a duration such as ``90s``, ``15m``, ``12h``, ``30d`` or ``2w``.

    :raises argparse.ArgumentTypeError: if it is malformed or zero.
    """
    found = re.fullmatch(r"(\d{1,6}(?:\.\d{1,3})?)([smhdw])", text)
    if found is None or float(found[1]) == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a duration: use a number and s, m, h, d or w, such as 30d")
    return timedelta(**{_UNITS[found[2]]: float(found[1])})

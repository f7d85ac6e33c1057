"""``nbjobs run --local``: an emulator for one run, and the executed notebook as a file."""

from __future__ import annotations

import argparse
import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from airflow_nbjobs.commands.connection import DEFAULT_CONNECTION
from airflow_nbjobs.exceptions import InvalidNotebookJobError, NbjobsError

if TYPE_CHECKING:
    from airflow_nbjobs.commands.console import Console
    from airflow_nbjobs.service import JobService

__all__ = ["add_local", "check_local", "output_file", "own_emulator", "save_executed"]

_ELSEWHERE = ("location", "project", "impersonate", "runtime_template", "service_account", "output_uri")


def add_local(parser: argparse.ArgumentParser) -> None:
    """Add the options ``local``, ``kernel_python`` and ``output``."""
    add = parser.add_argument
    add("--local", action="store_true", help="run a file on this machine, on an emulator that ends with the run")
    add("--kernel-python", type=Path, metavar="PATH", help="with --local: the Python of the notebook, with ipykernel")
    add(
        "--output",
        type=Path,
        metavar="FILE",
        help="write the executed notebook to a file, also if it fails; default with --local: NAME.executed.ipynb "
        "beside the notebook",
    )


def check_local(options: argparse.Namespace) -> None:
    """Check the options that do not go together.

    :raises InvalidNotebookJobError: names them.
    """
    if not options.local:
        if options.kernel_python is not None:
            raise InvalidNotebookJobError(
                "--kernel-python needs --local. Give it to `nbjobs emulator` for notebooks that run there."
            )
        return
    given = [name for name in _ELSEWHERE if getattr(options, name) is not None]
    if options.gcp_conn_id != DEFAULT_CONNECTION:
        given.append("gcp_conn_id")
    if options.kill == "leave":
        raise InvalidNotebookJobError("--local ends the job with the emulator. Leave out --kill leave, or --local.")
    if given:
        names = ", ".join(f"--{name.replace('_', '-')}" for name in given)
        raise InvalidNotebookJobError(f"--local runs the notebook on this machine. Leave out {names}, or --local.")


def output_file(options: argparse.Namespace) -> Path | None:
    """Return the file for the executed notebook, or ``None`` if none is wanted.

    :raises InvalidNotebookJobError: if it cannot be written, or is the notebook itself.
    """
    notebook = Path(options.notebook).expanduser()
    file: Path | None = options.output
    if file is None:
        if not options.local:
            return None
        file = notebook.with_name(f"{notebook.stem}.executed.ipynb")
    file = file.expanduser()
    if file.resolve() == notebook.resolve():
        raise InvalidNotebookJobError(f"--output {str(file)!r} is the notebook itself. Name another file.")
    if file.is_dir() or not os.access(file if file.exists() else file.parent, os.W_OK):
        why = "it is a folder" if file.is_dir() else "it does not exist, or is not writable"
        where = str(file if file.exists() else file.parent)
        raise InvalidNotebookJobError(
            f"The executed notebook cannot be written to {where!r}: {why}. Name a file with --output."
        )
    return file


@contextlib.contextmanager
def own_emulator(kernel_python: Path | None) -> Iterator[None]:
    """Run an emulator during the block, and let this process use it. Its data are deleted at the end.

    :param kernel_python: the Python of the notebooks; by default the emulator's own.
    :raises NbjobsError: if it does not start.
    """
    try:
        from airflow_nbjobs.emulator import Emulator, EmulatorError
    except ImportError as error:
        raise NbjobsError(str(error)) from error
    os.environ.pop("STORAGE_EMULATOR_HOST", None)  # the emulator would use that storage instead of its own
    with contextlib.ExitStack() as stack:
        try:
            emulator = stack.enter_context(Emulator(cleanup_seconds=0.0, kernel_python=kernel_python))
        except (EmulatorError, OSError) as error:
            raise NbjobsError(str(error)) from error
        os.environ.update(emulator.env)
        yield


def save_executed(service: JobService, job_name: str, file: Path, console: Console) -> None:
    """Write the executed notebook of a job that has ended to a file, and say so.

    :param job_name: whole name of the job.
    :raises ApiError: if it cannot be read.
    :raises NbjobsError: if it cannot be written.
    """
    from airflow_nbjobs.notebooks import storage

    job = service.get_job(job_name)
    with service.storage_client() as client:
        found = storage.find_executed(client, job.gcs_output_uri or "", job.job_id, job.executed_notebook_uri)
        if found is None:
            console.warning("%s was not written: no cell ran.", file)
            return
        content = b"".join(storage.read_chunks(client, found))
    try:
        file.write_bytes(content)
    except OSError as error:
        raise NbjobsError(f"Failed to write --output {str(file)!r}: {error.strerror}.") from error
    console.info("The executed notebook is in %s.", file)

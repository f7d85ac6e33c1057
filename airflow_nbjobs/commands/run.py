"""``nbjobs run``: run one notebook from the command line as a task would, on Google Cloud or on the emulator."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import signal
import sys
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, NoReturn

from airflow_nbjobs.commands.connection import DEFAULT_CONNECTION, VARIABLES, add_run_options, duration, new_hook
from airflow_nbjobs.commands.console import Console, printable, quiet_airflow
from airflow_nbjobs.commands.local import add_local, check_local, output_file, own_emulator, save_executed
from airflow_nbjobs.exceptions import (
    AlreadyExistsError,
    InvalidArgumentError,
    InvalidNotebookJobError,
    NbjobsError,
    NotebookJobError,
)

if TYPE_CHECKING:
    from airflow_nbjobs.run.arguments import RunArguments
    from airflow_nbjobs.service import JobService

__all__ = ["add_run"]

# On an emulator.
_DEFAULTS = {
    "location": "us-central1",
    "runtime_template": "1234567890",
    "service_account": "notebooks@local.iam.gserviceaccount.com",
    "output_uri": "gs://nbjobs-examples/runs",
}
_REQUIRED = ("location", "runtime_template", "output_uri")


def add_run(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the parser of ``nbjobs run``."""
    parser = commands.add_parser(
        "run",
        help="run one notebook and wait for it",
        description="Run one notebook and wait for it. Prints its results as JSON on standard output; progress and the "
        "output of cells go to standard error. Exit codes: 0 for success; 1 if the notebook fails; 2 if it could not "
        "be run; 130 after Ctrl-C, which ends the job. If NBJOBS_EMULATOR_HOST is set, the notebook runs on that "
        "emulator, and only NOTEBOOK is required. With --local, the command starts an emulator for this run: "
        "nothing needs to be set up.",
    )
    add = parser.add_argument
    add("notebook", metavar="NOTEBOOK", help="a file, gs://bucket/name or projects/p/locations/l/repositories/r")
    add("-p", "--parameter", action="append", default=[], metavar="NAME=TEXT", help="or NAME:=JSON; repeat for more")
    add_local(parser)
    add_run_options(parser)
    add("--kernel", metavar="NAME", help="Jupyter kernel; default: the service's choice")
    add("--timeout", type=duration, metavar="TIME", help="the service ends the job after this, such as 2h")
    add("--poll-interval", type=float, metavar="SECONDS", help="time between requests; default: 10, 0.1 on an emulator")
    add("--kill", choices=["cancel", "delete", "leave"], default="cancel", help="for Ctrl-C; default: %(default)s")
    add("--log-output", choices=["all", "errors", "none"], default="all", help="cells to show; default: %(default)s")
    add(
        "--html",
        nargs="?",
        const="",
        metavar="FILE",
        help="write the executed notebook as HTML; default: the notebook's name with .html, in this folder",
    )
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    with quiet_airflow():
        check_local(options)
        parameters = _parameters(options.parameter)
        notebook, folder = _notebook(options)
        output = output_file(options)
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, _interrupt)
        try:
            with own_emulator(options.kernel_python) if options.local else contextlib.nullcontext():
                service, console = _service(options), Console(is_timed=True)
                with contextlib.closing(service):
                    arguments = _arguments(options, notebook, parameters)
                    result = _result(arguments, folder, service, console, output)
        except KeyboardInterrupt as interrupt:
            return 128 + int(interrupt.args[0])
    if result is None:
        return 1
    print(printable(json.dumps(result["results"], indent=2, ensure_ascii=False)))
    return 0


def _result(
    arguments: RunArguments, folder: Path, service: JobService, console: Console, output: Path | None
) -> dict[str, Any] | None:
    """Run the notebook, and return its result; ``None`` if it fails. The executed notebook is kept in both cases."""
    from airflow_nbjobs.run.notebook_run import NotebookRun
    from airflow_nbjobs.run.task import TaskContext

    run = NotebookRun(arguments, TaskContext.alone(folder), lambda: service, console)
    try:
        result: Any = run.start()
    except KeyboardInterrupt:
        run.on_kill()
        raise
    except NotebookJobError as error:
        if output is not None and error.job_name:
            try:
                save_executed(service, error.job_name, output, console)
            except NbjobsError as problem:
                console.warning("The executed notebook is not in %s: %s", output, problem)
        console.error("%s", error)
        return None
    if output is not None:
        save_executed(service, result["name"], output, console)
    return dict(result)


def _interrupt(number: int, _: FrameType | None) -> NoReturn:
    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, signal.SIG_DFL)  # a second signal ends the process at once
    raise KeyboardInterrupt(number)


def _parameters(given: list[str]) -> dict[str, Any]:
    """Parse ``name=text`` and ``name:=json``."""
    parameters: dict[str, Any] = {}
    for text in given:
        found = re.fullmatch(r"([^=:]+)(:?=)(.*)", text, re.DOTALL)
        if found is None:
            raise InvalidNotebookJobError(f"-p {text!r} is not a parameter: write NAME=TEXT or NAME:=JSON.")
        name, sign, value = found.groups()
        if name in parameters:
            raise InvalidNotebookJobError(f"-p {name!r} is given twice. Give each parameter once.")
        try:
            parameters[name] = json.loads(value) if sign == ":=" else value
        except (ValueError, RecursionError) as error:
            raise InvalidNotebookJobError(
                f"-p {text!r} is not JSON after ':=' ({error}). Quote it for the shell, or write '=' for text."
            ) from error
    return parameters


def _notebook(options: argparse.Namespace) -> tuple[str, Path]:
    """Return the notebook as an operator takes it, and the folder of a local file: any folder is allowed here."""
    from airflow_nbjobs.run.sources import existing_file

    given: str = options.notebook
    if "://" in given or (given.startswith("projects/") and "/repositories/" in given):
        if options.local:
            raise InvalidNotebookJobError(f"--local runs a file, and {given!r} is not one. Give a path.")
        return given, Path.cwd()
    path = existing_file(Path(given))
    if path is None:
        raise InvalidNotebookJobError(f"The file {given!r} does not exist: looked for {str(Path.cwd() / given)!r}.")
    return path.name, path.parent


def _service(options: argparse.Namespace) -> JobService:
    """Complete the options, create the bucket on an emulator, and return the service.

    An emulator needs no connection, and Airflow is loaded for one that is named only: that takes seconds.
    """
    from airflow_nbjobs import settings

    is_emulated = settings.emulator_address() is not None
    _fill_in(options, is_emulated=is_emulated)
    if not is_emulated:
        return new_hook(options)
    service = _emulator_service(options) if options.gcp_conn_id == DEFAULT_CONNECTION else new_hook(options)
    _create_bucket(service, options.output_uri)
    # A task waits for a service that does not answer; a command reports it.
    next(service.list_jobs(location=options.location, project_id=options.project, page_size=1), None)
    return service


def _emulator_service(options: argparse.Namespace) -> JobService:
    from airflow_nbjobs.service import EmulatorService

    # papermill loads these for notebooks in other places, which takes longer than all the rest; it does without them.
    for name in ("gcsfs", "pyarrow"):
        sys.modules.setdefault(name, None)  # type: ignore[arg-type]  # Python's way to refuse an import
    return EmulatorService(is_temporary=options.local)


def _arguments(options: argparse.Namespace, notebook: str, parameters: dict[str, Any]) -> RunArguments:
    from airflow_nbjobs import settings
    from airflow_nbjobs.run.arguments import RunArguments

    poll_interval = 10.0 if settings.emulator_address() is None else 0.1
    return RunArguments(
        notebook=notebook,
        parameters=parameters,
        location=options.location,
        project_id=options.project,
        runtime_template=options.runtime_template,
        service_account=options.service_account,
        gcs_output_uri=options.output_uri,
        kernel_name=options.kernel,
        job_timeout=options.timeout,
        display_name=Path(notebook.partition("#")[0]).stem[:100] or None,
        poll_interval=poll_interval if options.poll_interval is None else options.poll_interval,
        kill=options.kill,
        log_output=options.log_output,
        html=_html_file(options.html, notebook),
    )


def _html_file(given: str | None, notebook: str) -> Path | bool:
    """Return the file for the HTML, or ``False`` if none is wanted.

    :raises InvalidNotebookJobError: for another kind of file: ``--html`` before NOTEBOOK would overwrite a notebook.
    """
    if given is None:
        return False
    file = Path(given or f"{Path(notebook.partition('#')[0].rstrip('/')).stem}.html")
    if file.suffix.lower() not in (".html", ".htm"):
        raise InvalidNotebookJobError(
            f"--html {given!r} is not the name of an HTML file: give FILE.html, or write --html after the notebook."
        )
    return file


def _fill_in(options: argparse.Namespace, *, is_emulated: bool) -> None:
    """Take missing options from the environment, and on an emulator from the defaults.

    :raises InvalidNotebookJobError: names the options that are missing.
    """
    from airflow_nbjobs import settings

    if is_emulated and settings.storage_emulator_address() is None:
        raise InvalidNotebookJobError(
            "NBJOBS_EMULATOR_HOST is set and STORAGE_EMULATOR_HOST is not. Set both, as `nbjobs emulator` prints them."
        )
    for name, variable in VARIABLES.items():
        named = None if options.local else os.environ.get(variable)
        given = getattr(options, name) or named or (_DEFAULTS[name] if is_emulated else None)
        setattr(options, name, given)
    if missing := [f"--{name.replace('_', '-')}" for name in _REQUIRED if not getattr(options, name)]:
        variables = ", ".join(VARIABLES[name] for name in _REQUIRED)
        raise InvalidNotebookJobError(
            f"{', '.join(missing)} must be given, as options or as {variables}. See `nbjobs run --help`."
        )


def _create_bucket(service: JobService, uri: str) -> None:
    """Create the bucket of the executed notebook, since the storage of an emulator is empty at first.

    An invalid name is reported when the job is built.
    """
    from airflow_nbjobs.api.calls import Call

    bucket = uri.removeprefix("gs://").partition("/")[0]
    query = {"project": service.project_id}
    with service.storage_client() as client:
        try:
            client.send(Call("POST", "/storage/v1/b", lambda _: None, query, {"name": bucket}))
        except (AlreadyExistsError, InvalidArgumentError):
            return

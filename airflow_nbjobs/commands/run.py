"""``nbjobs run``: one notebook from the command line, on the emulator or the cloud, the way that a task runs it."""

from __future__ import annotations

import argparse
import json
import os
import re
import signal
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, NoReturn

from airflow_nbjobs.commands.connection import add_connection, duration, new_hook
from airflow_nbjobs.commands.console import Console, airflow_kept_quiet, printable

if TYPE_CHECKING:
    from airflow_nbjobs.hooks import NotebookExecutionJobHook
    from airflow_nbjobs.run.arguments import RunArguments

__all__ = ["add_run"]

# Option: the environment's name for it, as the example DAGs have it, and what the emulator takes.
_DEFAULTS = {
    "location": ("NBJOBS_LOCATION", "us-central1"),
    "runtime_template": ("NBJOBS_RUNTIME_TEMPLATE", "1234567890"),
    "service_account": ("NBJOBS_SERVICE_ACCOUNT", "notebooks@local.iam.gserviceaccount.com"),
    "output_uri": ("NBJOBS_OUTPUT_URI", "gs://nbjobs-examples/runs"),
}
_REQUIRED = ("location", "runtime_template", "output_uri")


def add_run(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Describe ``nbjobs run``."""
    parser = commands.add_parser(
        "run",
        help="run one notebook and wait for it",
        description="Run one notebook and wait for it. Its results are printed as JSON, its progress and its cells' "
        "output go to the standard error. Exit code: 0; 1 when the notebook fails; 2 when it could not be "
        "run; 130 after Ctrl-C, which ends the job. NBJOBS_EMULATOR_HOST leads to an emulator, where "
        "nothing but NOTEBOOK is needed.",
    )
    add = parser.add_argument
    add("notebook", metavar="NOTEBOOK", help="a file, gs://bucket/name or projects/p/locations/l/repositories/r")
    add("-p", "--parameter", action="append", default=[], metavar="NAME=TEXT", help="or NAME:=JSON; repeatable")
    add_connection(parser)
    add("--runtime-template", metavar="ID", help="name or id of the template to run in ($NBJOBS_RUNTIME_TEMPLATE)")
    add("--service-account", metavar="EMAIL", help="who it runs as ($NBJOBS_SERVICE_ACCOUNT); else the connection's")
    add("--output-uri", metavar="GS", help="where the executed notebook goes: gs://bucket/folder ($NBJOBS_OUTPUT_URI)")
    add("--kernel", metavar="NAME", help="Jupyter kernel; the service's choice by default")
    add("--timeout", type=duration, metavar="TIME", help="the job's own bound, such as 2h; the service's by default")
    add("--poll-interval", type=float, metavar="SECONDS", help="between two looks; 10, and 0.5 on an emulator")
    add("--kill", choices=["cancel", "delete", "leave"], default="cancel", help="what Ctrl-C does; %(default)s")
    add("--log-output", choices=["all", "errors", "none"], default="all", help="cells to show; %(default)s")
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    from airflow_nbjobs.exceptions import NotebookJobError
    from airflow_nbjobs.run.notebook_run import NotebookRun
    from airflow_nbjobs.run.task import TaskContext

    with airflow_kept_quiet():
        parameters = _parameters(options.parameter)
        notebook, folder = _notebook(options.notebook)
        hook = _hook(options)
        console = Console(is_timed=True)
        arguments = _arguments(options, notebook, parameters)
        run = NotebookRun(arguments, TaskContext.alone(folder), lambda: hook, console)
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, _interrupt)
        try:
            result: Any = run.start()
        except KeyboardInterrupt as interrupt:
            run.on_kill()
            return 128 + int(interrupt.args[0])
        except NotebookJobError as error:
            console.error("%s", error)
            return 1
        finally:
            hook.close()
    print(printable(json.dumps(result["results"], indent=2, ensure_ascii=False)))
    return 0


def _interrupt(number: int, _: FrameType | None) -> NoReturn:
    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, signal.SIG_DFL)  # who asks twice does not want to wait for the job's end
    raise KeyboardInterrupt(number)


def _parameters(given: list[str]) -> dict[str, Any]:
    """Read ``name=text`` and ``name:=json``."""
    from airflow_nbjobs.exceptions import InvalidNotebookJobError

    parameters: dict[str, Any] = {}
    for text in given:
        found = re.fullmatch(r"([^=:]+)(:?=)(.*)", text, re.DOTALL)
        if found is None:
            raise InvalidNotebookJobError(f"-p {text!r} is no parameter: write NAME=TEXT or NAME:=JSON.")
        name, sign, value = found.groups()
        if name in parameters:
            raise InvalidNotebookJobError(f"-p {name!r} is given twice: give each parameter once.")
        try:
            parameters[name] = json.loads(value) if sign == ":=" else value
        except (ValueError, RecursionError) as error:
            raise InvalidNotebookJobError(
                f"-p {text!r} is no JSON after ':=' ({error}): quote it for the shell, or write '=' for text."
            ) from error
    return parameters


def _notebook(given: str) -> tuple[str, Path]:
    """Return the notebook as an operator takes it, and the folder that it is sought in: any one, for a person."""
    from airflow_nbjobs.exceptions import InvalidNotebookJobError
    from airflow_nbjobs.run.sources import existing_file

    if "://" in given or (given.startswith("projects/") and "/repositories/" in given):
        return given, Path.cwd()
    path = existing_file(Path(given))
    if path is None:
        raise InvalidNotebookJobError(f"{given!r} is no file: looked for {str(Path.cwd() / given)!r}.")
    return path.name, path.parent


def _hook(options: argparse.Namespace) -> NotebookExecutionJobHook:
    """Complete the options, and return the hook over the connection that they name; an emulator gets a bucket."""
    from airflow_nbjobs import settings

    is_emulated = settings.emulator_address() is not None
    _fill_in(options, is_emulated=is_emulated)
    hook = new_hook(options)
    if is_emulated:
        _create_bucket(hook, options.output_uri)
        # A task waits for a service that does not answer; a person wants to know.
        next(hook.list_jobs(location=options.location, project_id=options.project, page_size=1), None)
    return hook


def _arguments(options: argparse.Namespace, notebook: str, parameters: dict[str, Any]) -> RunArguments:
    from airflow_nbjobs import settings
    from airflow_nbjobs.run.arguments import RunArguments

    poll_interval = 10.0 if settings.emulator_address() is None else 0.5
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
    )


def _fill_in(options: argparse.Namespace, *, is_emulated: bool) -> None:
    """Take what is not given from the environment, and on an emulator from the defaults.

    :raises InvalidNotebookJobError: naming what is missing.
    """
    from airflow_nbjobs import settings
    from airflow_nbjobs.exceptions import InvalidNotebookJobError

    if is_emulated and settings.storage_emulator_address() is None:
        raise InvalidNotebookJobError(
            "NBJOBS_EMULATOR_HOST is set and STORAGE_EMULATOR_HOST is not: set both, as `nbjobs emulator` prints them."
        )
    for name, (variable, default) in _DEFAULTS.items():
        given = getattr(options, name) or os.environ.get(variable) or (default if is_emulated else None)
        setattr(options, name, given)
    if missing := [f"--{name.replace('_', '-')}" for name in _REQUIRED if not getattr(options, name)]:
        variables = ", ".join(_DEFAULTS[name][0] for name in _REQUIRED)
        raise InvalidNotebookJobError(
            f"{', '.join(missing)} must be given, or set in the environment ({variables}); with NBJOBS_EMULATOR_HOST "
            "set, the notebook would run on an emulator, which needs none of them."
        )


def _create_bucket(hook: NotebookExecutionJobHook, uri: str) -> None:
    """Create the bucket of the executed notebook on an emulator, whose storage is empty at first.

    An invalid bucket name is reported when the job is built.
    """
    from airflow_nbjobs.api.calls import Call
    from airflow_nbjobs.exceptions import AlreadyExistsError, InvalidArgumentError

    bucket = uri.removeprefix("gs://").partition("/")[0]
    query = {"project": hook.project_id}
    with hook.storage_client() as client:
        try:
            client.send(Call("POST", "/storage/v1/b", lambda _: None, query, {"name": bucket}))
        except (AlreadyExistsError, InvalidArgumentError):
            return

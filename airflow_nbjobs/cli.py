"""The command ``nbjobs``."""

from __future__ import annotations

import argparse
import getpass
import os
import signal
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from airflow_nbjobs import __version__
from airflow_nbjobs.commands.doctor import add_doctor
from airflow_nbjobs.commands.prune import add_prune
from airflow_nbjobs.commands.render import add_render
from airflow_nbjobs.commands.run import add_run
from airflow_nbjobs.commands.template import add_template
from airflow_nbjobs.exceptions import NbjobsError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import TypeVar

    T = TypeVar("T", int, float)

_DANGER = """\
WARNING: the emulator listens on {host}, not on the loopback address. It has no log-in, and executes notebooks as user
WARNING: {user}: everybody who can reach this address can run programs as you, and read and change the stored
WARNING: notebooks. Use this only in a container or an isolated network.
WARNING: requests with another Host header than {hosts} are refused; --allow-host accepts one more."""

_NAMED_STORAGE = (
    "nbjobs: STORAGE_EMULATOR_HOST is set: the emulator uses the storage at {url}, and starts none on port {port}. "
    "Unset it to use --storage-port."
)
_READY = "nbjobs: the emulator is ready, and keeps its jobs and objects in {data!r}. Ctrl-C or `kill {pid}` ends it."


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    :param arguments: the arguments after ``nbjobs``; ``None`` for those of the process.
    :returns: the exit code: 0, or 2 for an error. ``nbjobs run`` also returns 1 for a notebook that failed, and 130
        after Ctrl-C. If the reader of standard output has gone (``| head``), the code is 141, as in a shell.
    """
    try:
        try:
            return _main(arguments)
        finally:
            sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # Python flushes the rest at exit
        return 128 + signal.SIGPIPE


def parser() -> argparse.ArgumentParser:
    """Return the parser of all commands."""
    described = argparse.ArgumentParser(
        prog="nbjobs", description="Run notebooks on Vertex AI / Colab Enterprise with Apache Airflow."
    )
    described.add_argument("--version", action="version", version=f"nbjobs {__version__}")
    commands = described.add_subparsers(title="commands", required=True, metavar="COMMAND")
    _add_emulator(commands)
    for add in (add_run, add_render, add_prune, add_doctor, add_template):
        add(commands)
    return described


def _main(arguments: Sequence[str] | None) -> int:
    options = parser().parse_args(arguments)
    try:
        code: int = options.run(options)
    except NbjobsError as error:
        return _fail(str(error))
    return code


def _add_emulator(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Describe ``nbjobs emulator``."""
    # The options have the names of Emulator's arguments.
    parser = commands.add_parser(
        "emulator",
        help="serve Vertex AI's notebook execution jobs on this machine",
        description="Serve Vertex AI's notebook execution jobs here, and run the notebooks in local kernels.",
    )
    add = parser.add_argument
    add(
        "--host",
        default="127.0.0.1",
        help="address to listen on, %(default)s by default; everybody who can reach it can execute code",
    )
    add("--port", type=port, default=9099, help="port of the service, %(default)s by default, 0 for a free one")
    add(
        "--storage-port",
        type=port,
        default=9023,
        help="port of Cloud Storage, %(default)s by default, 0 for a free one",
    )
    add("--data", metavar="DIR", default=".nbjobs", help="where jobs and objects are kept, %(default)s by default")
    add("--runner", choices=["kernel", "simulated"], default="kernel", help="simulated: execute nothing and succeed")
    add(
        "--kernel-python",
        type=Path,
        metavar="PATH",
        help="the Python of the notebooks, with ipykernel; default: this one",
    )
    add("--seconds", type=seconds, default=2.0, help="how long a simulated job runs, %(default)s by default")
    add("--concurrency", type=count, help="jobs that run at once; by default the number of cores, simulated: any")
    add(
        "--cleanup-seconds",
        type=seconds,
        default=2.0,
        help="from a job's end to its operation's end, %(default)s by default",
    )
    for option, name, value, meaning in (
        ("--allow-host", "allowed_hosts", "NAME", "accept this Host header too"),
        ("--bucket", "buckets", "NAME", "create this bucket if missing"),
        ("--template", "templates", "ID", "an existing runtime template"),
    ):
        add(option, dest=name, action="append", default=[], metavar=value, help=f"{meaning}; repeatable")
    add(
        "--filter-match",
        choices=["whole", "part"],
        default="whole",
        help="what =~ in a filter must match, %(default)s by default; the service's documents leave it open",
    )
    parser.set_defaults(run=_emulator)


def _emulator(options: argparse.Namespace) -> int:
    try:
        from airflow_nbjobs.emulator import Emulator, EmulatorError
        from airflow_nbjobs.emulator.addresses import is_loopback, is_own
        from airflow_nbjobs.emulator.guard import LOOPBACK_HOSTS
    except ImportError as error:
        return _fail(str(error))
    # A shell that has run our `export` lines names our own port: that storage is the one to start.
    if is_own(os.environ.get("STORAGE_EMULATOR_HOST", ""), options.storage_port):
        del os.environ["STORAGE_EMULATOR_HOST"]
    end = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: end.set())
    given = {name: value for name, value in vars(options).items() if name != "run"}
    emulator = Emulator(render=_render, **given)
    try:
        emulator.start()
    except (EmulatorError, OSError) as error:
        return _fail(str(error))
    try:
        if not is_loopback(options.host):
            hosts = ", ".join((*LOOPBACK_HOSTS, *options.allowed_hosts))
            print(_DANGER.format(host=options.host, user=getpass.getuser(), hosts=hosts), file=sys.stderr)
        if "STORAGE_EMULATOR_HOST" in os.environ:
            print(_NAMED_STORAGE.format(url=emulator.storage_url, port=options.storage_port), file=sys.stderr)
        for name, value in emulator.env.items():
            print(f"export {name}={value}", flush=True)
        print(_READY.format(data=options.data, pid=os.getpid()), file=sys.stderr, flush=True)
        end.wait()
    finally:
        emulator.stop()
    return 0


def _render(notebook: bytes, title: str, has_failed: bool) -> bytes:
    """Return an executed notebook as the emulator shows it."""
    from airflow_nbjobs.notebooks.render_process import render

    return render(notebook, theme="auto", title=title, failed_cell=None if has_failed else 0)


# Their names are argparse's words for what it could not read: "invalid port value: 'x'".
def port(text: str) -> int:
    """Read the number of a port."""
    return _number(int(text), 0 <= int(text) <= 65535)


def count(text: str) -> int:
    """Read a number that is not zero."""
    return _number(int(text), int(text) >= 1)


def seconds(text: str) -> float:
    """Read a time in seconds."""
    return _number(float(text), 0 <= float(text) < float("inf"))


def _number(value: T, good: bool) -> T:
    if not good:
        raise ValueError  # argparse names the option and the value
    return value


def _fail(text: str) -> int:
    print(f"nbjobs: {text}", file=sys.stderr)
    return 2

"""``nbjobs template``: list, create and delete runtime templates. A notebook needs one to run."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from airflow_nbjobs.commands.connection import add_connection, duration, new_hook
from airflow_nbjobs.commands.console import Console, printable, quiet_airflow
from airflow_nbjobs.exceptions import AlreadyExistsError, InvalidNotebookJobError, NbjobsError, NotFoundError

if TYPE_CHECKING:
    from airflow_nbjobs.api.job import Operation
    from airflow_nbjobs.hooks import NotebookExecutionJobHook

__all__ = ["add_template"]

_POLL_SECONDS = 1.0


def add_template(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the parsers of ``nbjobs template``."""
    parser = commands.add_parser(
        "template",
        help="list, create and delete runtime templates",
        description="Runtime templates describe the machine, disk and network that notebooks run on.",
    )
    methods = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    listing = methods.add_parser(
        "list",
        help="list the templates of a location",
        description="Print the name, machine type and display name of each template, the newest first.",
    )
    listing.add_argument("--filter", metavar="TEXT", help="such as 'labels.team=a' or 'machineType=e2-standard-4'")
    _finish(listing, _list)
    _finish(_add_create(methods), _create)
    deleting = methods.add_parser("delete", help="delete a template", description="Delete a template, and wait for it.")
    deleting.add_argument("template", metavar="TEMPLATE", help="id or whole name")
    _finish(deleting, _delete)


def _add_create(methods: argparse._SubParsersAction[argparse.ArgumentParser]) -> argparse.ArgumentParser:
    parser = methods.add_parser(
        "create",
        help="create a template",
        description="Create a template, and print its name. If its id is taken by a template, that one is left as it "
        "is, and its name is printed.",
    )
    add = parser.add_argument
    add("display_name", metavar="DISPLAY_NAME", help="1 to 128 characters")
    add("--id", metavar="ID", help="id of the template; default: the service picks one")
    add("--machine-type", metavar="TYPE", default="e2-standard-4", help="default: %(default)s")
    add("--accelerator", metavar="TYPE[:COUNT]", help="such as NVIDIA_TESLA_T4 or NVIDIA_L4:2")
    add("--disk-gb", type=int, metavar="GB", help="size of the data disk; default: the service's choice")
    add("--network", metavar="NAME", help="VPC network, projects/p/global/networks/n")
    add("--subnetwork", metavar="NAME", help="projects/p/regions/r/subnetworks/s")
    add("--no-internet", action="store_true", help="without access to the internet")
    add("--idle-timeout", type=duration, metavar="TIME", help="idle machines are shut down after it, such as 3h")
    add(
        "--end-user-credentials",
        action="store_true",
        help="notebooks run as the person who asks for them (execution_user), not as a service account",
    )
    add("--fields", type=_fields, default={}, metavar="JSON", help="other fields of the resource, as in the REST API")
    return parser


def _finish(parser: argparse.ArgumentParser, run: Callable[..., int]) -> None:
    add_connection(parser)
    parser.set_defaults(run=lambda options: _connected(options, run))


def _connected(options: argparse.Namespace, run: Callable[..., int]) -> int:
    output = sys.stdout
    with quiet_airflow():
        if not options.location:
            raise InvalidNotebookJobError("--location is missing: give their region, such as us-central1.")
        hook = new_hook(options)
        try:
            return run(options, hook, lambda line: print(printable(line), file=output, flush=True))
        finally:
            hook.close()


def _list(options: argparse.Namespace, hook: NotebookExecutionJobHook, tell: Callable[[str], None]) -> int:
    listed = hook.templates.list(
        location=options.location, project_id=options.project, filter=options.filter, order_by="create_time desc"
    )
    is_empty = True
    for template in listed:
        is_empty = False
        machine = (template.machine_spec or {}).get("machineType", "-")
        tell("\t".join([template.name or "", str(machine), template.display_name or ""]))
    if is_empty:
        Console().info("There are no runtime templates in %s.", hook.parent(options.location, options.project))
    return 0


def _create(options: argparse.Namespace, hook: NotebookExecutionJobHook, tell: Callable[[str], None]) -> int:
    from airflow_nbjobs.api.template import described_template

    template = described_template(options.display_name, {**_described(options), **options.fields})
    try:
        operation = hook.templates.create(
            template, location=options.location, project_id=options.project, template_id=options.id
        )
    except AlreadyExistsError:
        existing = _name(options, hook, options.id or "")
        try:
            name = hook.templates.get(existing).name or existing
        except NotFoundError:
            raise InvalidNotebookJobError(
                f"--id {options.id!r} was of a template that is deleted, and stays taken: use another id."
            ) from None
        Console().warning("%s exists, and is left as it is.", name)
    else:
        done = _wait(hook, options.location, operation)
        name = str((done.response or {}).get("name") or operation.name.partition("/operations/")[0])
    tell(name)
    return 0


def _delete(options: argparse.Namespace, hook: NotebookExecutionJobHook, tell: Callable[[str], None]) -> int:
    name = _name(options, hook, options.template)
    _wait(hook, options.location, hook.templates.delete(name))
    tell(name)
    return 0


def _name(options: argparse.Namespace, hook: NotebookExecutionJobHook, given: str) -> str:
    from airflow_nbjobs.api.names import resource_name

    parent = hook.parent(options.location, options.project)
    return str(resource_name(given, "notebookRuntimeTemplates", lambda: parent, options.location))


def _wait(hook: NotebookExecutionJobHook, location: str, operation: Operation) -> Operation:
    from airflow_nbjobs.api.waiting import wait_for_operation

    done = hook.run_flow(location, wait_for_operation(operation, _POLL_SECONDS))
    if done.error is not None and done.error.code:
        raise NbjobsError(f"The operation {operation.name} failed: {done.error.message}")
    return done


def _described(options: argparse.Namespace) -> dict[str, Any]:
    """Return the fields that the options stand for."""
    machine: dict[str, Any] = {"machineType": options.machine_type}
    if options.accelerator:
        kind, _, count = options.accelerator.partition(":")
        if count and not count.isdecimal():
            raise InvalidNotebookJobError(f"--accelerator {options.accelerator!r}: write TYPE or TYPE:COUNT.")
        machine |= {"acceleratorType": kind, "acceleratorCount": int(count or 1)}
    network = {"enableInternetAccess": not options.no_internet}
    named = {"network": options.network, "subnetwork": options.subnetwork}
    fields: dict[str, Any] = {
        "machineSpec": machine,
        "networkSpec": {**network, **{key: value for key, value in named.items() if value}},
        "eucConfig": {"eucDisabled": not options.end_user_credentials},
    }
    if options.disk_gb:
        fields["dataPersistentDiskSpec"] = {"diskSizeGb": str(options.disk_gb)}
    if options.idle_timeout:
        fields["idleShutdownConfig"] = {"idleTimeout": f"{options.idle_timeout.total_seconds():.0f}s"}
    return fields


def _fields(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is not JSON: {error}") from None
    if not isinstance(found, dict):
        raise argparse.ArgumentTypeError(f"{text!r} is not a JSON object: write keys and values")
    return found

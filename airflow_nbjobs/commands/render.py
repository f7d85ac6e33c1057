"""``nbjobs render``: print the request and the notebook that a task would send, and send nothing."""

from __future__ import annotations

import argparse
import hashlib
import itertools
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_nbjobs.commands.connection import connecting
from airflow_nbjobs.commands.console import Console, printable, quiet_airflow
from airflow_nbjobs.exceptions import InvalidNotebookJobError

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_nbjobs.api.job import NotebookExecutionJob
    from airflow_nbjobs.operators import CreateNotebookExecutionJobOperator
    from airflow_nbjobs.run.build import Built

__all__ = ["add_render"]


def add_render(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the parser of ``nbjobs render``."""
    parser = commands.add_parser(
        "render",
        help="show what a task would send",
        description="Print the request that a task of a DAG would send, as JSON, and the notebook with its parameters. "
        "Secrets are masked. Nothing is sent and no database is changed; a notebook in Cloud Storage or Dataform is "
        "read. The label nbjobs-submit is random.",
    )
    add = parser.add_argument
    add("dag_id", metavar="DAG_ID", help="id of the DAG")
    add("task_id", metavar="TASK_ID", help="id of the task")
    add("--logical-date", type=_date, metavar="DATE", help="logical date, such as 2026-11-22; default: now")
    add("--run-id", metavar="ID", help="id of the DAG run; default: as of a manual run")
    add("--map-index", type=int, default=-1, metavar="N", help="index of a mapped task, from 0")
    add("--conf", default="{}", metavar="JSON", help="conf of the DAG run, which sets its params")
    add("--xcom", action="append", default=[], metavar="TASK_ID=JSON", help="return value of an upstream task; repeat")
    add("--dags-folder", type=Path, metavar="PATH", help="a folder or a DAG file; default: [core] dags_folder")
    add("--notebook", type=Path, metavar="FILE", help="write the notebook to a file instead of printing it")
    parser.set_defaults(run=_render)


def _render(options: argparse.Namespace) -> int:
    with quiet_airflow():
        request, notebook = _request(_context(options))
        lines = list(_printed(notebook)) if notebook is not None and options.notebook is None else []
        if options.notebook is not None:
            _write(options.notebook, notebook)
    print(printable(json.dumps(request, indent=2, ensure_ascii=False)))
    for line in lines:
        print(line)
    return 0


def _context(options: argparse.Namespace) -> Context:
    """Return the context of the rendered task."""
    from airflow.providers.common.compat.sdk import conf

    from airflow_nbjobs.commands.render_context import RenderRequest, render

    return render(
        RenderRequest(
            folder=options.dags_folder or Path(conf.get("core", "dags_folder")),
            dag_id=options.dag_id,
            task_id=options.task_id,
            logical_date=options.logical_date or datetime.now(UTC),
            map_index=options.map_index,
            run_id=options.run_id,
            conf=_json("--conf", "", options.conf)[1],
            xcoms=dict(_json("--xcom", *text.partition("=")[::2]) for text in options.xcom),
        )
    )


def _date(text: str) -> datetime:
    try:
        given = datetime.fromisoformat(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is not a date: use 2026-11-22 or 2026-11-22T06:00") from error
    return given if given.tzinfo else given.replace(tzinfo=UTC)


def _json(option: str, name: str, value: str) -> tuple[str, Any]:
    """Return the name and the parsed value of an option ``name=value``."""
    try:
        return name, json.loads(value)
    except (ValueError, RecursionError) as error:
        given = f"{name}={value}" if name else value
        raise InvalidNotebookJobError(f"{option} {given!r} is not JSON ({error}). Quote it for the shell.") from error


def _request(context: Context) -> tuple[dict[str, Any], Any]:
    """Return the request, and the notebook in it or ``None`` if it is sent as a reference; both masked."""
    from airflow_nbjobs.api import calls
    from airflow_nbjobs.run.build import build
    from airflow_nbjobs.run.task import TaskContext

    operator = _operator(context)
    task = TaskContext.of(context)
    with connecting(operator.gcp_conn_id):
        arguments = operator.run_arguments(context)
        arguments.check()
        built = build(arguments, task.identity, operator.hook, folders=task.folders, log=Console())
        endpoint = operator.hook.endpoint(arguments.location or "").url
    operator.hook.close()
    call = calls.create_job(built.parent, built.job, built.job_ids[0])
    body, content = _body(built, call.body)
    request = {"method": call.verb, "url": f"{endpoint}{call.path}", "query": dict(call.query), "body": body}
    return request, None if content is None else _notebook(content, built.job, operator)


def _body(built: Built, body: Any) -> tuple[dict[str, Any], bytes | None]:
    """Return the masked job, with a note in place of the notebook's content, and the content."""
    from airflow_nbjobs.run.staging import staged_uri
    from airflow_nbjobs.secrecy import masked

    shown: dict[str, Any] = masked(body)
    content = built.job.direct_notebook_source.content if built.job.direct_notebook_source else None
    if content is not None:
        note = f"{len(content):,} bytes, sha256 {hashlib.sha256(content).hexdigest()}"
        if built.is_staged:
            del shown["directNotebookSource"]
            uri = staged_uri(built.job, built.file)
            shown["gcsNotebookSource"] = {"uri": uri, "generation": f"(of the copy that is written first, {note})"}
        else:
            shown["directNotebookSource"]["content"] = f"({note}, as base64)"
    return shown, content


def _operator(context: Context) -> CreateNotebookExecutionJobOperator:
    from airflow_nbjobs.operators import CreateNotebookExecutionJobOperator

    operator: object = context["task"]
    if not isinstance(operator, CreateNotebookExecutionJobOperator):
        raise InvalidNotebookJobError(
            f"The task {context['ti'].task_id!r} is a {type(operator).__name__}. Only tasks of "
            "CreateNotebookExecutionJobOperator and @task.notebook can be rendered."
        )
    return operator


def _notebook(content: bytes, job: NotebookExecutionJob, operator: CreateNotebookExecutionJobOperator) -> Any:
    """Return the notebook with masked parameters."""
    from airflow_nbjobs.notebooks import document
    from airflow_nbjobs.notebooks.parameters import plain_parameters
    from airflow_nbjobs.secrecy import masked

    notebook = document.load(content, "The notebook")
    if not operator.parameters:
        return notebook
    return document.inject(notebook, masked(plain_parameters(operator.parameters)), kernel_name=job.kernel_name)


def _printed(notebook: Any) -> Iterator[str]:
    """Return the lines of all cells; code cells have the numbers that errors use."""
    from airflow_nbjobs.secrecy import masked

    yield f"\nThe notebook has {len(notebook.cells)} cells. Code cells are numbered as in errors:"
    numbers = itertools.count(1)
    for cell in notebook.cells:
        own = cell.metadata.get("tags")
        tags = ", ".join(map(str, own)) if isinstance(own, list) else ""
        number = next(numbers) if cell.cell_type == "code" else ""
        yield printable(f"{number:>4} {cell.cell_type}{f' ({tags})' if tags else ''}:")
        yield from (f"     | {line}" for line in printable(masked(cell.source)).removesuffix("\n").split("\n"))


def _write(file: Path, notebook: Any) -> None:
    from airflow_nbjobs.notebooks import document

    if notebook is None:
        raise InvalidNotebookJobError(
            f"--notebook {str(file)!r} was not written: a notebook without parameters is sent as a reference."
        )
    try:
        file.write_bytes(document.dump(notebook))
    except OSError as error:
        raise InvalidNotebookJobError(f"Failed to write --notebook {str(file)!r}: {error.strerror}.") from error

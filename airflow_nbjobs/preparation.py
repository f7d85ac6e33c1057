"""From what a user gives to what is sent: the notebook found, pinned, given its parameters, and staged if it is large.

A notebook that gets no parameters is sent as a reference, pinned to what is there now; one that does is read, from
Cloud Storage or Dataform with Airflow's own connection, and sent as content. The original is never changed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_nbjobs import settings
from airflow_nbjobs.api.job import DataformRepositorySource, DirectNotebookSource, GcsNotebookSource
from airflow_nbjobs.exceptions import (
    ApiError,
    CredentialsError,
    InvalidNotebookJobError,
    NbjobsError,
    NotFoundError,
    PermissionDeniedError,
)
from airflow_nbjobs.notebooks import storage
from airflow_nbjobs.sources import Notebook, SourceFields
from airflow_nbjobs.stores import dataform_client, storage_client

if TYPE_CHECKING:
    from airflow_nbjobs.api.job import NotebookExecutionJob
    from airflow_nbjobs.hooks import NotebookExecutionJobHook

__all__ = ["Prepared", "Request", "prepare", "stage", "staged_uri", "tidy"]


@dataclass(frozen=True, kw_only=True)
class Request:
    """What a user asks to be run.

    :ivar source: the one source field that the notebook is, as it was given.
    :ivar parameters: checked by :func:`~airflow_nbjobs.secrecy.check_parameters`.
    :ivar is_strict: fail for parameters that the notebook does not know, rather than warn.
    :ivar with_outputs: send the outputs that a notebook holds already.
    """

    notebook: Notebook | None
    source: SourceFields
    parameters: Mapping[str, Any]
    kernel_name: str | None
    is_strict: bool
    with_outputs: bool


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """What is sent.

    :ivar source: the one source field of the job.
    :ivar identity: what the user asked for, by which a retry knows its job: the reference as it was given, or the hash
        of the content; and the parameters.
    :ivar version: which notebook runs: a generation, a commit, or a hash of the content; ``None`` where only the
        service will know.
    :ivar file: what to call a staged copy.
    """

    source: SourceFields
    identity: Mapping[str, Any]
    version: str | None
    file: str


def prepare(request: Request, hook: NotebookExecutionJobHook, warn: Callable[[str], None]) -> Prepared:
    """Return what is sent for a request.

    :raises InvalidNotebookJobError: when the parameters do not fit the notebook, it is none, it is not there, or it may
        not be read.
    :raises ApiError: when a notebook that needs parameters cannot be read for another reason, or the service that has
        any notebook does not answer.
    """
    try:
        if gcs := request.source.get("gcs_notebook_source"):
            return _from_storage(gcs, request, hook, warn)
        if repository := request.source.get("dataform_repository_source"):
            return _from_dataform(repository, request, hook, warn)
    except (NotFoundError, PermissionDeniedError) as error:
        raise InvalidNotebookJobError(
            f"{_named(request)} cannot be read, which giving it parameters needs ({error}): is it there, in this "
            "generation or commit, and may the connection's account read it?"
        ) from error
    return _from_content(request.source["direct_notebook_source"], request, warn)


# Where notebooks are read, what reads them is imported: a reference that gets no parameters is sent without.


def _from_content(source: DirectNotebookSource, request: Request, warn: Callable[[str], None]) -> Prepared:
    from airflow_nbjobs.notebooks import cells, document

    content = source.content or b""
    notebook = document.load(content, _named(request))
    bare = cells.without_outputs(notebook)
    plain = document.dump(bare)
    digest = hashlib.sha256(plain).hexdigest()
    if bare != notebook and not request.with_outputs:
        content = plain  # and byte for byte as it is where there is nothing to leave out
    name = Path(request.notebook).stem if isinstance(request.notebook, str) else "notebook"
    return Prepared(
        source={"direct_notebook_source": DirectNotebookSource(content=_injected(content, request, warn))},
        identity={"content": digest, "parameters": dict(request.parameters)},
        version=digest[:40],
        file=f"{name}.ipynb",
    )


def _from_storage(
    source: GcsNotebookSource, request: Request, hook: NotebookExecutionJobHook, warn: Callable[[str], None]
) -> Prepared:
    uri, version = source.uri or "", source.generation
    sent: SourceFields
    if request.parameters:
        with storage_client(hook) as client:
            content, found = storage.read(client, uri, version, limit=settings.notebook_bytes())
        version = found.generation
        sent = {"direct_notebook_source": DirectNotebookSource(content=_injected(content, request, warn))}
    else:
        version = version or _if_allowed(lambda: _newest_generation(uri, hook))
        sent = {"gcs_notebook_source": replace(source, generation=version)}
    return Prepared(
        source=sent,
        identity={"gcs": source.to_wire(), "parameters": dict(request.parameters)},
        version=version,
        file=uri.rpartition("/")[2],
    )


def _newest_generation(uri: str, hook: NotebookExecutionJobHook) -> str:
    with storage_client(hook) as client:
        return storage.get_object(client, uri).generation


def _from_dataform(
    source: DataformRepositorySource, request: Request, hook: NotebookExecutionJobHook, warn: Callable[[str], None]
) -> Prepared:
    from airflow_nbjobs.notebooks import dataform

    repository = source.dataform_repository_resource_name or ""
    with dataform_client(hook) as client:
        version = source.commit_sha or _if_allowed(lambda: dataform.newest_commit(client, repository))
        sent: SourceFields = {"dataform_repository_source": replace(source, commit_sha=version)}
        if request.parameters:
            content = dataform.read_repository(client, repository, version)
            sent = {"direct_notebook_source": DirectNotebookSource(content=_injected(content, request, warn))}
    return Prepared(
        source=sent,
        identity={"dataform": source.to_wire(), "parameters": dict(request.parameters)},
        version=version,
        file="content.ipynb",
    )


def _named(request: Request) -> str:
    return f"notebook={str(request.notebook)!r}"


def _if_allowed(look: Callable[[], str | None]) -> str | None:
    """Return what a look finds, or nothing: the job reads with its own account, and says itself what is missing."""
    try:
        return look()
    except (ApiError, CredentialsError, InvalidNotebookJobError) as error:
        if getattr(error, "is_transient", False):  # what it is asked later may be another version
            raise
        return None


def _injected(content: bytes, request: Request, warn: Callable[[str], None]) -> bytes:
    if not request.parameters:
        return content
    from airflow_nbjobs.notebooks import cells, document

    notebook = document.load(content, _named(request))
    if not request.with_outputs:
        notebook = cells.without_outputs(notebook)
    document.check_parameter_names(notebook, request.parameters, kernel_name=request.kernel_name)
    _check_known(notebook, request, warn)
    return document.dump(document.inject(notebook, request.parameters, kernel_name=request.kernel_name))


def _check_known(notebook: Any, request: Request, warn: Callable[[str], None]) -> None:
    from airflow_nbjobs.notebooks import cells, document

    if cells.find_tagged(notebook.cells, "parameters") is None:
        problem = "it has no cell tagged 'parameters', so they are set in a cell of their own, before all others"
    else:
        declared = document.declared_parameters(notebook, kernel_name=request.kernel_name)
        unknown = sorted(request.parameters.keys() - (request.parameters.keys() if declared is None else declared))
        if not unknown:
            return
        known = ", ".join(map(repr, sorted(declared or ()))) or "none"
        problem = f"its cell tagged 'parameters' does not know {', '.join(map(repr, unknown))}; it knows {known}"
    sentence = f"{_named(request)} may not use the parameters: {problem}."
    if request.is_strict:
        raise InvalidNotebookJobError(f"{sentence} Declare them there, or set unknown_parameters='warn'.")
    warn(sentence)


def stage(job: NotebookExecutionJob, file: str, hook: NotebookExecutionJobHook) -> NotebookExecutionJob:
    """Return the job with its direct content put into Cloud Storage instead, pinned to the generation that was written.

    The copy lies beside the executed notebooks, in a folder of the submission's own.

    :param file: what to call it; the executed notebook will be called the same.
    :raises ApiError: when Cloud Storage refuses.
    """
    content = job.direct_notebook_source.content if job.direct_notebook_source else None
    with storage_client(hook) as client:
        written = storage.write(client, staged_uri(job, file), content or b"")
    source = GcsNotebookSource(uri=written.uri, generation=written.generation)
    return replace(job, direct_notebook_source=None, gcs_notebook_source=source)


def _unstage(job: NotebookExecutionJob, hook: NotebookExecutionJobHook) -> None:
    """Delete the copy that was staged for a job, if there is one and it is still what was written.

    The job itself tells where it is, so that a retry deletes it too.

    :raises ApiError: when Cloud Storage refuses.
    """
    source = job.gcs_notebook_source
    if source is None or not source.generation or not (source.uri or "").startswith(_staging_folder(job)):
        return
    with storage_client(hook) as client:
        storage.delete(client, storage.StoredObject(uri=source.uri or "", generation=source.generation, size=0))


def tidy(job: NotebookExecutionJob, hook: NotebookExecutionJobHook, warn: Callable[..., object]) -> None:
    """Delete the copy that was staged for a job that is over; when that cannot be, say so and leave it.

    :param warn: as a logger's method: a format and its values.
    """
    try:
        _unstage(job, hook)
    except NbjobsError as error:
        warn("The notebook that was staged for %s could not be deleted: %s", job.name, error)


def staged_uri(job: NotebookExecutionJob, file: str) -> str:
    """Return where a job's content is put by :func:`stage`."""
    return f"{_staging_folder(job)}{file}"


def _staging_folder(job: NotebookExecutionJob) -> str:
    return f"{(job.gcs_output_uri or '').rstrip('/')}/nbjobs-staged/{job.labels.get('nbjobs-submit')}/"

"""From the notebook that a user names to what is sent: found, pinned to a version, and with its parameters.

A notebook without parameters is sent as a reference, pinned to its current version. A notebook with parameters is read
from Cloud Storage or Dataform with Airflow's own connection, and sent as content. The original is never changed.
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
    FailureKind,
    InvalidNotebookJobError,
    NotFoundError,
    PermissionDeniedError,
)
from airflow_nbjobs.lineage import report_read
from airflow_nbjobs.notebooks import storage
from airflow_nbjobs.run.sources import Notebook, SourceFields

if TYPE_CHECKING:
    from airflow_nbjobs.service import JobService

__all__ = ["Asked", "Prepared", "prepare"]

# Modules that load nbformat or papermill are imported where a notebook is read: a reference without parameters is sent
# without them.


@dataclass(frozen=True, kw_only=True)
class Asked:
    """The notebook that a user asks for.

    :ivar source: the one source field that the notebook stands for.
    :ivar parameters: plain JSON, checked by :func:`~airflow_nbjobs.secrecy.check_parameters`.
    :ivar is_strict: fail for parameters that the notebook does not declare; otherwise warn.
    """

    notebook: Notebook | None
    source: SourceFields
    parameters: Mapping[str, Any]
    kernel_name: str | None
    is_strict: bool

    def __str__(self) -> str:
        """Return the argument as errors quote it."""
        return f"notebook={str(self.notebook)!r}"


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """What is sent.

    :ivar source: the one source field of the job.
    :ivar identity: JSON by which a retry recognizes the same request: the reference as given or the hash of the
        content, and the parameters.
    :ivar version: which notebook runs: a generation, a commit, or a hash of the content; ``None`` if only the service
        will know.
    :ivar file: file name for a staged copy.
    """

    source: SourceFields
    identity: Mapping[str, Any]
    version: str | None
    file: str


def prepare(asked: Asked, hook: JobService, warn: Callable[[str], None]) -> Prepared:
    """Return what is sent for a notebook.

    :param warn: called with sentences about parameters that the notebook does not declare.
    :raises InvalidNotebookJobError: if the notebook is invalid, missing or unreadable, or the parameters do not fit.
    :raises ApiError: if a notebook that needs parameters cannot be read for another reason.
    """
    try:
        if gcs := asked.source.get("gcs_notebook_source"):
            return _from_storage(gcs, asked, hook, warn)
        if repository := asked.source.get("dataform_repository_source"):
            return _from_dataform(repository, asked, hook, warn)
    except (NotFoundError, PermissionDeniedError) as error:
        raise InvalidNotebookJobError(
            f"Failed to read {asked} to give it parameters ({error}). Check that it exists in this generation or "
            "commit, and that the connection's account may read it.",
            # It may be there later.
            kind=FailureKind.OTHER if isinstance(error, NotFoundError) else error.kind,
        ) from error
    return _from_content(asked.source["direct_notebook_source"], asked, warn)


def _from_content(source: DirectNotebookSource, asked: Asked, warn: Callable[[str], None]) -> Prepared:
    from airflow_nbjobs.notebooks import cells, document

    content = source.content or b""
    notebook = document.load(content, str(asked))
    bare = cells.without_outputs(notebook)
    plain = document.dump(bare)
    digest = hashlib.sha256(plain).hexdigest()
    if bare != notebook:  # otherwise it is sent byte for byte
        content = plain
    name = Path(asked.notebook).stem if isinstance(asked.notebook, str) else "notebook"
    return Prepared(
        source=_direct(content, asked, warn),
        identity={"content": digest, "parameters": dict(asked.parameters)},
        version=digest[:40],
        file=f"{name}.ipynb",
    )


def _from_storage(source: GcsNotebookSource, asked: Asked, hook: JobService, warn: Callable[[str], None]) -> Prepared:
    uri, version = source.uri or "", source.generation
    sent: SourceFields
    if asked.parameters:
        with hook.storage_client() as client:
            content, found = storage.read(client, uri, version, limit=settings.notebook_bytes())
        report_read(hook, uri)
        version = found.generation
        sent = _direct(content, asked, warn)
    else:
        version = version or _if_allowed(lambda: _newest_generation(uri, hook))
        sent = {"gcs_notebook_source": replace(source, generation=version)}
    return Prepared(
        source=sent,
        identity={"gcs": source.to_wire(), "parameters": dict(asked.parameters)},
        version=version,
        file=uri.rpartition("/")[2],
    )


def _newest_generation(uri: str, hook: JobService) -> str:
    with hook.storage_client() as client:
        return storage.get_object(client, uri).generation


def _from_dataform(
    source: DataformRepositorySource, asked: Asked, hook: JobService, warn: Callable[[str], None]
) -> Prepared:
    from airflow_nbjobs.notebooks import dataform

    repository = source.dataform_repository_resource_name or ""
    with hook.dataform_client() as client:
        version = source.commit_sha or _if_allowed(lambda: dataform.newest_commit(client, repository))
        sent: SourceFields = {"dataform_repository_source": replace(source, commit_sha=version)}
        if asked.parameters:
            sent = _direct(dataform.read_repository(client, repository, version), asked, warn)
    return Prepared(
        source=sent,
        identity={"dataform": source.to_wire(), "parameters": dict(asked.parameters)},
        version=version,
        file="content.ipynb",
    )


def _if_allowed(look: Callable[[], str | None]) -> str | None:
    """Return what a look finds, or ``None`` if it is refused: the job reads with its own account, which may be allowed.

    :raises ApiError: for passing errors: a later look could find another version.
    """
    try:
        return look()
    except (ApiError, CredentialsError, InvalidNotebookJobError) as error:
        if getattr(error, "is_transient", False):
            raise
        return None


def _direct(content: bytes, asked: Asked, warn: Callable[[str], None]) -> SourceFields:
    """Return the content as a source field, with the parameters in it and without saved outputs."""
    if asked.parameters:
        from airflow_nbjobs.notebooks import cells, document

        notebook = cells.without_outputs(document.load(content, str(asked)))
        document.check_parameter_names(notebook, asked.parameters, kernel_name=asked.kernel_name)
        _check_declared(notebook, asked, warn)
        content = document.dump(document.inject(notebook, asked.parameters, kernel_name=asked.kernel_name))
    return {"direct_notebook_source": DirectNotebookSource(content=content)}


def _check_declared(notebook: Any, asked: Asked, warn: Callable[[str], None]) -> None:
    from airflow_nbjobs.notebooks import cells, document

    if cells.find_tagged(notebook.cells, "parameters") is None:
        problem = "it has no cell tagged 'parameters', and the parameters are set before all other cells"
    else:
        declared = document.declared_parameters(notebook, kernel_name=asked.kernel_name)
        unknown = sorted(asked.parameters.keys() - (asked.parameters.keys() if declared is None else declared))
        if not unknown:
            return
        known = ", ".join(map(repr, sorted(declared or ()))) or "nothing"
        problem = f"its cell tagged 'parameters' does not declare {', '.join(map(repr, unknown))}; it declares {known}"
    sentence = f"{asked} may not use the parameters: {problem}."
    if asked.is_strict:
        raise InvalidNotebookJobError(f"{sentence} Declare them there, or set unknown_parameters='warn'.")
    warn(sentence)

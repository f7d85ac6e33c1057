"""Where a notebook comes from: the shape of ``notebook=`` names exactly one source.

- ``gs://bucket/report.ipynb``, with ``#1700000000000000`` for a pinned generation
- ``projects/p/locations/l/repositories/r``, with ``@commit`` for a pinned commit
- another string: a local path relative to the DAG file or its bundle; the content is sent
- a dict: the notebook itself
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

from airflow_nbjobs.exceptions import InvalidNotebookJobError

if TYPE_CHECKING:
    from airflow_nbjobs.api.job import DataformRepositorySource, DirectNotebookSource, GcsNotebookSource

__all__ = ["InlineNotebook", "Notebook", "SourceFields", "existing_file", "is_local", "source_fields"]


class InlineNotebook:
    """A notebook given as a dict.

    Its content is never templated, since code contains braces. Airflow's UI and the serialized DAG show only its
    hash.

    :param content: nbformat JSON.
    """

    def __init__(self, content: Mapping[str, Any]) -> None:
        self.content = content

    def __str__(self) -> str:
        """Return what is shown instead of the content; the same for the same content."""
        try:
            text = json.dumps(self.content, sort_keys=True, default=str)
        except (TypeError, ValueError, RecursionError):  # not JSON: the task fails, and the DAG's other tasks can run
            text = ""
        return f"inline notebook (sha256 {hashlib.sha256(text.encode()).hexdigest()[:16]})"

    __repr__ = __str__

    def serialize(self) -> str:
        """Return what Airflow stores with the DAG and the rendered fields."""
        return str(self)


Notebook = str | InlineNotebook


class SourceFields(TypedDict, total=False):
    """The source fields of a ``NotebookExecutionJob``; exactly one is set."""

    gcs_notebook_source: GcsNotebookSource
    dataform_repository_source: DataformRepositorySource
    direct_notebook_source: DirectNotebookSource


def source_fields(notebook: Notebook | None, folders: Iterable[Path]) -> SourceFields:
    """Return the one source field of a ``NotebookExecutionJob`` that a notebook stands for.

    :param folders: folders that a local path may be in: the DAG file's and the bundle's.
    :raises InvalidNotebookJobError: if the notebook is missing, malformed or not found.
    """
    # Operators import this module for InlineNotebook; what reads notebooks is loaded when a task runs.
    from airflow_nbjobs.api.job import DataformRepositorySource, DirectNotebookSource, GcsNotebookSource

    if isinstance(notebook, InlineNotebook):
        from airflow_nbjobs.notebooks.document import encode  # loads nbformat, which a reference does not need

        content = encode(notebook.content, "The notebook given as a dict")
        return {"direct_notebook_source": DirectNotebookSource(content=content)}
    if not isinstance(notebook, str) or not notebook.strip():
        raise InvalidNotebookJobError(
            f"notebook={notebook!r} is not a notebook: give 'gs://bucket/notebook.ipynb', a Dataform repository, a "
            "path relative to the DAG file, or the notebook's JSON as a dict."
        )
    if notebook.startswith("gs://"):
        # As in gsutil, only digits after the last "#" are a generation: an object's name may contain a "#".
        pinned = re.fullmatch(r"(.+)#([0-9]+)", notebook, re.DOTALL)
        uri, generation = pinned.groups() if pinned else (notebook, None)
        if pinned is None and re.search(r"\.ipynb#(?!.*\.ipynb$)[^/]*$", notebook):
            raise InvalidNotebookJobError(
                f"notebook={notebook!r} has no generation after '#': write digits, as in "
                "'gs://bucket/notebook.ipynb#1700000000000000', or remove '#'."
            )
        return {"gcs_notebook_source": GcsNotebookSource(uri=uri, generation=generation)}
    if _is_repository(notebook):
        repository, _, commit = notebook.partition("@")
        source = DataformRepositorySource(dataform_repository_resource_name=repository, commit_sha=commit or None)
        return {"dataform_repository_source": source}
    if "://" in notebook:
        scheme = notebook.partition("://")[0]
        raise InvalidNotebookJobError(
            f"notebook={notebook!r} is at {scheme}://, which the service does not read: give a gs:// URI or a path."
        )
    from airflow_nbjobs.notebooks.document import read_file

    return {"direct_notebook_source": DirectNotebookSource(content=read_file(_find(notebook, folders)))}


def is_local(notebook: str) -> bool:
    """Return whether a notebook is named by a path."""
    return bool(notebook.strip()) and "://" not in notebook and not _is_repository(notebook)


def _is_repository(notebook: str) -> bool:
    return notebook.startswith("projects/") and "/repositories/" in notebook


def existing_file(path: Path) -> Path | None:
    """Return the file that a path leads to, links followed; ``None`` if it does not exist or the path is malformed."""
    try:
        found = path.expanduser().resolve()
        return found if found.is_file() else None
    except (OSError, ValueError, RuntimeError):
        return None


def _find(path: str, folders: Iterable[Path]) -> Path:
    """Find a file inside the folders, links followed: a DAG must not send other files of the worker."""
    roots = list(dict.fromkeys(folder.resolve() for folder in folders))
    places = [root / path for root in roots]
    for candidate in places:
        found = existing_file(candidate)
        if found is None:
            continue
        if any(found.is_relative_to(root) for root in roots):
            return found
        raise InvalidNotebookJobError(
            f"notebook={path!r} leads to {str(found)!r}, outside the DAG's folder and bundle: keep it inside them."
        )
    if any(_is_folder(place) for place in places):
        raise InvalidNotebookJobError(f"notebook={path!r} is a folder: name the notebook in it.")
    looked_at = " and ".join(repr(str(place)) for place in places) or "no folder"
    raise InvalidNotebookJobError(
        f"notebook={path!r} was not found: looked for {looked_at}. A notebook in Cloud Storage is "
        "'gs://bucket/notebook.ipynb', one in Dataform 'projects/p/locations/l/repositories/r'."
    )


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:
        return False

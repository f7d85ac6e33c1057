"""The files of one commit: paths from the root of the repository, each with the digest of its content."""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING

from airflow_nbjobs.emulator.errors import ApiError, invalid

if TYPE_CHECKING:
    from collections.abc import Mapping

_NOTEBOOK = "content.ipynb"  # the one file of a repository that Colab Enterprise or BigQuery Studio made


def digest_of(content: bytes) -> str:
    """Give the name under which a content is kept."""
    return hashlib.sha256(content).hexdigest()


def changed(files: Mapping[str, str], changes: Mapping[str, bytes | None]) -> dict[str, str]:
    """Give the files after a commit.

    :param changes: for each path the new content, or None for a file to delete.
    :raises ApiError: 400 for a path that is none, a file to delete that is not there, or a file that is a folder too.
    """
    after = dict(files)
    for path, content in changes.items():
        _check_path(path)
        if content is not None:
            after[path] = digest_of(content)
        elif after.pop(path, None) is None:
            raise invalid("file_operations", f"There is no file {path!r} to delete.")
    both = after.keys() & {folder for path in after for folder in _folders(path)}
    if both:
        raise invalid("file_operations", f"{min(both)!r} cannot be both a file and a folder.")
    return after


def entries(files: Mapping[str, str], folder: str) -> list[tuple[str, dict[str, str]]]:
    """List what is in a folder, by path: each with its ``DirectoryEntry``, whose paths begin at the root.

    :param folder: without a slash at its end; empty for the root, which is there even without files.
    :raises ApiError: 404 when there is no such folder.
    """
    start = f"{folder}/" if folder else ""
    found = {}
    for path in files:
        if path.startswith(start):
            name, deeper, _ = path.removeprefix(start).partition("/")
            found[start + name] = {"directory" if deeper else "file": start + name}
    if folder and not found:
        raise ApiError(404, f"There is no directory {folder!r}.")
    return sorted(found.items())


def only_notebook(files: Mapping[str, str]) -> str | None:
    """Give the path of ``content.ipynb``, or of the only notebook at the root; None when there is none, or several."""
    if _NOTEBOOK in files:
        return _NOTEBOOK
    notebooks = [path for path in files if re.fullmatch(r"[^/]+\.ipynb", path)]
    return notebooks[0] if len(notebooks) == 1 else None


def _folders(path: str) -> list[str]:
    return [path[: slash.start()] for slash in re.finditer("/", path)]


def _check_path(path: str) -> None:
    control = any(character < " " or "\ud800" <= character <= "\udfff" for character in path)
    if control or not {"", ".", ".."}.isdisjoint(path.split("/")):
        rule = "it has an empty part, '.', '..' or a control character"
        raise invalid("file_operations", f"Invalid path {path!r}: {rule}.")

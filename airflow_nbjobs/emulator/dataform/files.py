"""The files of one commit: paths from the root of the repository, each with the digest of its content."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping

from airflow_nbjobs.emulator.errors import ServiceError, invalid

_NOTEBOOK = "content.ipynb"  # the only file of a repository of Colab Enterprise or BigQuery Studio


def digest_of(content: bytes) -> str:
    """Return the key of a content: its SHA-256."""
    return hashlib.sha256(content).hexdigest()


def changed(files: Mapping[str, str], changes: Mapping[str, bytes | None]) -> dict[str, str]:
    """Return the files after a commit.

    :param changes: for each path the new content, or None for a file to delete.
    :raises ServiceError: 400 for an invalid path, a missing file to delete, or a file that is also a folder.
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
    """List the entries of a folder, by path: each with its ``DirectoryEntry``, whose path begins at the root.

    :param folder: without a slash at its end; empty for the root, which exists even without files.
    :raises ServiceError: 404 when the folder does not exist.
    """
    start = f"{folder}/" if folder else ""
    found = {}
    for path in files:
        if path.startswith(start):
            name, deeper, _ = path.removeprefix(start).partition("/")
            found[start + name] = {"directory" if deeper else "file": start + name}
    if folder and not found:
        raise ServiceError(404, f"There is no directory {folder!r}.")
    return sorted(found.items())


def only_notebook(files: Mapping[str, str]) -> str | None:
    """Return the path of ``content.ipynb``, or of the only notebook at the root; None for no notebook, or several."""
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

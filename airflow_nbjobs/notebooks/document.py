"""Notebooks as documents: read and checked before anybody is sent them."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import nbformat

from airflow_nbjobs.exceptions import InvalidNotebookJobError

__all__ = ["encode", "read_file"]

_KNOWN_FORMATS = frozenset({3, 4})


def encode(notebook: Mapping[str, Any], what: str) -> bytes:
    """Return the bytes of a notebook given as JSON, checked.

    :param what: how errors name it.
    :raises InvalidNotebookJobError: when it is not a notebook.
    """
    try:
        content = json.dumps(notebook, ensure_ascii=False, allow_nan=False).encode()
    except (TypeError, ValueError) as error:
        raise InvalidNotebookJobError(f"{what} is not JSON: {error}.") from error
    _check(content, what)
    return content


def read_file(path: Path) -> bytes:
    """Return the bytes of an ``.ipynb`` file as they are, checked.

    :raises InvalidNotebookJobError: when it cannot be read, or is not a notebook.
    """
    what = f"The notebook {str(path)!r}"
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InvalidNotebookJobError(f"{what} cannot be read: {error.strerror}.") from error
    _check(content, what)
    return content


def _check(content: bytes, what: str) -> None:
    try:
        data = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise InvalidNotebookJobError(f"{what} is not JSON, as an .ipynb file is: {error}.") from error
    version = data.get("nbformat") if isinstance(data, dict) else None
    if version not in _KNOWN_FORMATS:
        raise InvalidNotebookJobError(
            f"{what} is not a notebook of a known format: nbformat is {version!r}, and 3 and 4 are known."
        )
    try:
        with warnings.catch_warnings():
            # A missing cell id is repaired by whoever runs the notebook; it is no reason to refuse it.
            warnings.simplefilter("ignore")
            nbformat.validate(nbformat.from_dict(data))  # type: ignore[no-untyped-call]  # nbformat has no types
    except (nbformat.ValidationError, AttributeError, KeyError, TypeError) as error:
        problem = str(error).strip().splitlines()[0]
        raise InvalidNotebookJobError(f"{what} is not a valid notebook: {problem}") from error

"""Secrets must not get into a job, which is kept and shown: Airflow's masker knows some, names hint at others.

In a process that has not loaded Airflow, Airflow's masker knows no secrets. For such a process, this module has the
most common names.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from airflow_nbjobs import settings
from airflow_nbjobs.exceptions import InvalidNotebookJobError
from airflow_nbjobs.notebooks.parameters import plain_parameters

__all__ = ["check_no_secret", "check_parameters", "looks_secret", "masked"]

_SECRET_NAME = re.compile(
    "access_?key|api_?key|auth_header|authorization|bearer|passphrase|passwd|password|private_key|secret|token",
    re.IGNORECASE,
)


def check_parameters(parameters: Mapping[str, Any], warn: Callable[[str], None]) -> dict[str, Any]:
    """Return the parameters as plain JSON.

    A value that Airflow masks is refused: the executed notebook would show it. A name that only looks like a secret's
    (``max_tokens``), at any depth, gets a warning.

    :param warn: called with one sentence for each such name.
    :raises InvalidNotebookJobError: for a secret, and for values that JSON does not have; names the parameter.
    """
    plain = plain_parameters(parameters)
    for name, value in plain.items():
        if any(map(_is_secret, _texts(value))) or any(map(_is_masked, _numbers(value))):
            raise InvalidNotebookJobError(
                f"parameters[{name!r}] contains a secret that Airflow masks, and the executed notebook would show it: "
                "let the notebook read it from Secret Manager, and pass the secret's name."
            )
    for place in _places_named_secret(plain, "parameters"):
        warn(f"{place} looks like a secret by its name; the executed notebook will show its value.")
    return plain


def check_no_secret(argument: str, value: Any) -> None:
    """Check that a text, or a dict of texts, that is shown with the job contains nothing that Airflow masks.

    :raises InvalidNotebookJobError: names the argument.
    """
    if any(map(_is_secret, _texts(value))):
        raise InvalidNotebookJobError(
            f"{argument} contains a secret that Airflow masks, and people who see the job would see it: remove it."
        )


def masked(value: Any, name: str | None = None) -> Any:
    """Return a copy of a JSON value in which secrets, and values with a secret's name, are ``***``.

    Airflow's own masker does not mask numbers by their name, and stops at the fifth level.

    :param name: the key of the value.
    """
    if name is not None and value is not None and looks_secret(name):
        return "***"
    if isinstance(value, Mapping):
        return {key: masked(item, key) for key, item in value.items()}
    if isinstance(value, list):
        return [masked(item, name) for item in value]
    return _redact(value) if isinstance(value, str) else value


def looks_secret(name: str) -> bool:
    """Return whether every value that has this name is masked."""
    if not settings.is_airflow_loaded():
        return _SECRET_NAME.search(name) is not None
    return bool(_redact("value", name) != "value")


def _redact(text: str, name: str | None = None) -> Any:
    if not settings.is_airflow_loaded():
        return text
    from airflow.providers.common.compat.sdk import redact

    return redact(text, name)


def _is_secret(text: str) -> bool:
    """Return whether Airflow masks something in a text."""
    return str(_redact(text)) != text


def _is_masked(number: str) -> bool:
    """Return whether Airflow masks a number as a whole; one in which it masks some digits is not a secret."""
    return str(_redact(number)) == "***"


def _places_named_secret(value: Any, place: str) -> Iterator[str]:
    """Return the places of values that have a secret's name: ``parameters['cfg']['api_key']``."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            if item is not None and looks_secret(key):
                yield f"{place}[{key!r}]"
            else:
                yield from _places_named_secret(item, f"{place}[{key!r}]")
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _places_named_secret(item, f"{place}[{index}]")


def _leaves(value: Any) -> Iterator[Any]:
    """Return the keys and values in a JSON value. Airflow's masker itself goes five levels deep."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield key
            yield from _leaves(item)
    elif isinstance(value, list):
        for item in value:
            yield from _leaves(item)
    else:
        yield value


def _texts(value: Any) -> Iterator[str]:
    return (leaf for leaf in _leaves(value) if isinstance(leaf, str))


def _numbers(value: Any) -> Iterator[str]:
    return (str(leaf) for leaf in _leaves(value) if isinstance(leaf, int | float) and not isinstance(leaf, bool))

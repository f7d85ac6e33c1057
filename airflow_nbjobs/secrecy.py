"""What must not get into a job, which is kept and shown around: secrets, by Airflow's masker or by their names."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from typing import Any

from airflow.providers.common.compat.sdk import redact

from airflow_nbjobs.compat import mask_secret
from airflow_nbjobs.exceptions import InvalidNotebookJobError
from airflow_nbjobs.notebooks.parameters import plain_parameters

__all__ = ["check_no_secret", "check_parameters", "looks_secret"]

_MASKED_BY_NAME = 100
"""How many values of one notebook are masked for their names at most: Airflow takes longer for each more."""

_masked_by_name: set[str] = set()
"""What this process masks for its name's sake alone: a second submission, or another task of it, is no offence."""


def check_parameters(parameters: Mapping[str, Any], warn: Callable[[str], None]) -> dict[str, Any]:
    """Return the parameters as plain JSON.

    Notebooks are kept and shown around, so a value that Airflow knows to be a secret is refused. A name that only looks
    like a secret's (``max_tokens``), at any depth, gets a warning, and its value is masked in logs from here on: text
    and numbers, if they are as long as Airflow masks at all. Where there are more than a hundred (``tokens``), those
    that are many under one name are data rather than secrets, and the rest of them is not masked.

    :raises InvalidNotebookJobError: for a secret, and for what JSON cannot hold; with the parameter's name.
    """
    plain = plain_parameters(parameters)
    for name, value in plain.items():
        if any(map(_is_secret, _texts(value))) or any(map(_is_whole_secret, _leaves(value))):
            raise InvalidNotebookJobError(
                f"parameters[{name!r}] holds a secret that Airflow masks, and the executed notebook would show it: let "
                "the notebook read it from Secret Manager, and pass the secret's name."
            )
    named: list[list[str]] = []
    for place, value in _named_secrets(plain, "parameters"):  # when all were looked at: two may have the same value
        warn(f"{place} looks like a secret by its name; the executed notebook will show its value.")
        named.append(list(islice(_leaves(value), _MASKED_BY_NAME + 1)))
    texts = [text for leaves in sorted(named, key=len) for text in leaves]
    for text in texts[:_MASKED_BY_NAME]:
        mask_secret(text)
        if redact(text) != text:
            _masked_by_name.add(text)
    if len(texts) > _MASKED_BY_NAME:
        warn(f"Of the values whose names look secret {_MASKED_BY_NAME} are masked in logs, and the others are not.")
    return plain


def check_no_secret(argument: str, value: Any) -> None:
    """Check that a text, or a dict of them, which everybody sees who sees the job, holds nothing that Airflow masks.

    :raises InvalidNotebookJobError: with the argument's name.
    """
    if any(map(_is_secret, _texts(value))):
        raise InvalidNotebookJobError(
            f"{argument} holds a secret that Airflow masks, and everybody who sees the job would see it: leave it out."
        )


def looks_secret(name: str) -> bool:
    """Tell whether Airflow masks what is called so, whatever it is."""
    return bool(redact("value", name) != "value")


def _is_secret(text: str) -> bool:
    """Tell whether Airflow masks something in a text for more than its name's sake."""
    shown = str(redact(text))
    if shown == text:
        return False
    # What is not masked in it, and between these parts nothing but what is masked for its name's sake.
    known = ("***", *_masked_by_name)
    first, *rest = shown.split("***")
    ends = {len(first)} if text.startswith(first) else set()
    for part in rest:
        begins = {end + len(value) for value in known for end in ends if text.startswith(value, end)}
        ends = {begin + len(part) for begin in begins if text.startswith(part, begin)}
    return len(text) not in ends


def _is_whole_secret(text: str) -> bool:
    """Tell whether a number, as text, is what Airflow masks; one in which it would mask some digits is none."""
    return text not in _masked_by_name and str(redact(text)) == "***" != text


def _named_secrets(value: Any, place: str) -> Iterator[tuple[str, Any]]:
    """Return what has a secret's name, with its place: ``parameters['cfg']['api_key']``."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            if item is not None and looks_secret(key):
                yield f"{place}[{key!r}]", item
            else:
                yield from _named_secrets(item, f"{place}[{key!r}]")
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _named_secrets(item, f"{place}[{index}]")


def _texts(value: Any) -> Iterator[str]:
    """Return every text in a value; Airflow's masker itself goes five levels deep."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield key
            yield from _texts(item)
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)


def _leaves(value: Any) -> Iterator[str]:
    """Return the texts and numbers in a value, as text, without the keys that they are under."""
    if isinstance(value, Mapping | list):
        for item in value.values() if isinstance(value, Mapping) else value:
            yield from _leaves(item)
    elif isinstance(value, str | int | float) and not isinstance(value, bool):
        yield str(value)

"""A request as it may be shown: what Airflow masks is masked, and so is what looks like a secret by its name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airflow.providers.common.compat.sdk import redact

from airflow_nbjobs.secrecy import looks_secret

__all__ = ["masked"]


def masked(value: Any, name: str | None = None) -> Any:
    """Return a copy of a JSON value that may be shown.

    Airflow's own masker leaves numbers be whatever they are called, and goes five levels deep.

    :param name: the key that the value is under.
    """
    if name is not None and value is not None and looks_secret(name):
        return "***"
    if isinstance(value, Mapping):
        return {key: masked(item, key) for key, item in value.items()}
    if isinstance(value, list):
        return [masked(item, name) for item in value]
    return redact(value) if isinstance(value, str) else value

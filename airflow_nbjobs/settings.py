"""What a deployment sets, in ``airflow.cfg`` under ``[nbjobs]`` and in the environment; nobody else reads either."""

from __future__ import annotations

import os
import re

from airflow.providers.common.compat.sdk import conf

__all__ = [
    "allowed_endpoints",
    "deployment",
    "emulator_address",
    "emulator_project",
    "endpoint",
    "is_deployment_certain",
]

_ANYBODYS = re.compile(r"://(?:localhost|127\.[0-9.]+|0\.0\.0\.0|\[::1?\])(?:[:/]|$)", re.IGNORECASE)


def emulator_address() -> str | None:
    """Return ``NBJOBS_EMULATOR_HOST``, which points everything at an emulator; ``None`` when it is not set."""
    return os.environ.get("NBJOBS_EMULATOR_HOST") or None


def emulator_project() -> str:
    """Return the project on an emulator where the connection names none: ``GOOGLE_CLOUD_PROJECT``, or ``local``."""
    return os.environ.get("GOOGLE_CLOUD_PROJECT") or "local"


def endpoint() -> str | None:
    """Return ``[nbjobs] endpoint``: an address instead of Google's public one; ``{location}`` in it is replaced."""
    return conf.get("nbjobs", "endpoint", fallback=None) or None


def allowed_endpoints() -> list[str]:
    """Return ``[nbjobs] allowed_endpoints``: addresses outside ``googleapis.com`` that may see real credentials."""
    listed = conf.get("nbjobs", "allowed_endpoints", fallback=None) or ""
    return [address.strip() for address in listed.split(",") if address.strip()]


def deployment() -> str:
    """Return what tells this Airflow from others that use the same project.

    It is ``[nbjobs] deployment``, else ``[api] base_url``; empty when neither is set.
    """
    own = conf.get("nbjobs", "deployment", fallback=None)
    return own or conf.get("api", "base_url", fallback=None) or ""


def is_deployment_certain() -> bool:
    """Return whether :func:`deployment` is this Airflow's alone: a localhost is anybody's."""
    name = deployment()
    return bool(name) and not _ANYBODYS.search(name)

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
    "notebook_bytes",
    "requests_per_minute",
    "result_bytes",
    "staging_bytes",
    "storage_emulator_address",
]

_ANYBODYS = re.compile(r"://(?:localhost|127\.[0-9.]+|0\.0\.0\.0|\[::1?\])(?:[:/]|$)", re.IGNORECASE)


def emulator_address() -> str | None:
    """Return ``NBJOBS_EMULATOR_HOST``, which points everything at an emulator; ``None`` when it is not set."""
    return os.environ.get("NBJOBS_EMULATOR_HOST") or None


def storage_emulator_address() -> str | None:
    """Return ``STORAGE_EMULATOR_HOST``, Google's own variable; ``None`` when it is not set."""
    return os.environ.get("STORAGE_EMULATOR_HOST") or None


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


def requests_per_minute() -> int:
    """Return ``[nbjobs] requests_per_minute``: how many a triggerer may send for one project and location.

    120 unless set, which is a fifth of the quota that Google grants a project (600 a minute, colab/docs/quotas).

    :raises AirflowConfigException: when it is not a whole number.
    """
    return int(conf.getint("nbjobs", "requests_per_minute", fallback=120))


def result_bytes() -> int:
    """Return ``[nbjobs] result_bytes``: how much JSON a notebook may report, into an XCom. 48 KiB unless set."""
    return int(conf.getint("nbjobs", "result_bytes", fallback=48 * 1024))


def staging_bytes() -> int:
    """Return ``[nbjobs] staging_bytes``: the size from which a notebook is staged in Cloud Storage rather than sent.

    8 MiB unless set. What the service takes is not documented; one that it refuses for its size is staged too.
    """
    return int(conf.getint("nbjobs", "staging_bytes", fallback=8 * 2**20))


def notebook_bytes() -> int:
    """Return ``[nbjobs] notebook_bytes``: the largest notebook that is given parameters. 64 MiB unless set."""
    return int(conf.getint("nbjobs", "notebook_bytes", fallback=64 * 2**20))

"""Settings: ``[nbjobs]`` in ``airflow.cfg``, and environment variables. Only this module reads them."""

from __future__ import annotations

import os
import re

from airflow.providers.common.compat.sdk import conf

__all__ = [
    "airflow_address",
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

_LOCAL_ADDRESS = re.compile(r"://(?:localhost|127\.[0-9.]+|0\.0\.0\.0|\[::1?\])(?:[:/]|$)", re.IGNORECASE)


def emulator_address() -> str | None:
    """Return ``NBJOBS_EMULATOR_HOST``, the address of the emulator to use; ``None`` if it is not set."""
    return os.environ.get("NBJOBS_EMULATOR_HOST") or None


def storage_emulator_address() -> str | None:
    """Return ``STORAGE_EMULATOR_HOST``, Google's own variable; ``None`` if it is not set."""
    return os.environ.get("STORAGE_EMULATOR_HOST") or None


def emulator_project() -> str:
    """Return the project for a connection without one, on an emulator: ``GOOGLE_CLOUD_PROJECT``, or ``local``."""
    return os.environ.get("GOOGLE_CLOUD_PROJECT") or "local"


def endpoint() -> str | None:
    """Return ``[nbjobs] endpoint``, which replaces Google's public one and may contain ``{location}``; or ``None``."""
    return conf.get("nbjobs", "endpoint", fallback=None) or None


def allowed_endpoints() -> list[str]:
    """Return ``[nbjobs] allowed_endpoints``: addresses outside ``googleapis.com`` that may receive real credentials."""
    listed = conf.get("nbjobs", "allowed_endpoints", fallback=None) or ""
    return [address.strip() for address in listed.split(",") if address.strip()]


def airflow_address() -> str | None:
    """Return ``[api] base_url``, the address of Airflow's UI; ``None`` if it is not set."""
    return conf.get("api", "base_url", fallback=None) or None


def deployment() -> str:
    """Return the name of this Airflow: ``[nbjobs] deployment``, else ``[api] base_url``; empty if neither is set."""
    return conf.get("nbjobs", "deployment", fallback=None) or airflow_address() or ""


def is_deployment_certain() -> bool:
    """Return whether :func:`deployment` is unique to this Airflow. An address such as ``localhost`` is not."""
    name = deployment()
    return bool(name) and not _LOCAL_ADDRESS.search(name)


def requests_per_minute() -> int:
    """Return ``[nbjobs] requests_per_minute``: the limit of one triggerer for one project and location.

    The default is 120, a fifth of a project's quota (600 a minute, colab/docs/quotas).

    :raises AirflowConfigException: if it is not an integer.
    """
    return int(conf.getint("nbjobs", "requests_per_minute", fallback=120))


def result_bytes() -> int:
    """Return ``[nbjobs] result_bytes``: the largest size of a notebook's results as JSON. The default is 48 KiB."""
    return int(conf.getint("nbjobs", "result_bytes", fallback=48 * 1024))


def staging_bytes() -> int:
    """Return ``[nbjobs] staging_bytes``: a larger notebook is staged in Cloud Storage instead of sent.

    The default is 8 MiB. Google does not document how much the service accepts.
    """
    return int(conf.getint("nbjobs", "staging_bytes", fallback=8 * 2**20))


def notebook_bytes() -> int:
    """Return ``[nbjobs] notebook_bytes``: the largest notebook in Cloud Storage that can get parameters.

    The default is 64 MiB.
    """
    return int(conf.getint("nbjobs", "notebook_bytes", fallback=64 * 2**20))

"""Settings: ``[nbjobs]`` in ``airflow.cfg``, and environment variables. Only this module reads them.

``nbjobs run`` on an emulator does not load Airflow: the numbers that it needs are Airflow's only if one may be set.
"""

from __future__ import annotations

import configparser
import os
import re
import sys
from pathlib import Path
from typing import Any

__all__ = [
    "TAB_OPERATORS",
    "airflow_address",
    "allowed_endpoints",
    "deployment",
    "emulator_address",
    "emulator_project",
    "endpoint",
    "is_airflow_loaded",
    "is_deployment_certain",
    "notebook_bytes",
    "notebook_tab",
    "requests_per_minute",
    "result_bytes",
    "staging_bytes",
    "storage_emulator_address",
    "ui_cache_bytes",
    "ui_gcp_conn_id",
    "ui_notebook_bytes",
    "ui_renderings",
]

TAB_OPERATORS = [
    "CreateNotebookExecutionJobOperator",
    "NotebookExecutionJobSensor",
    "NotebookScheduleRunSensor",
    "RunNotebookScheduleOperator",
    "@task.notebook",
]
"""Names of the operators whose task instances have the notebook tab, where Airflow can limit it (3.4)."""

_LOCAL_ADDRESS = re.compile(r"://(?:localhost|127\.[0-9.]+|0\.0\.0\.0|\[::1?\])(?:[:/]|$)", re.IGNORECASE)


def is_airflow_loaded() -> bool:
    """Return whether this process has loaded Airflow, as every task and every component of it has."""
    return "airflow" in sys.modules


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
    return _conf().get("nbjobs", "endpoint", fallback=None) or None


def allowed_endpoints() -> list[str]:
    """Return ``[nbjobs] allowed_endpoints``: addresses outside ``googleapis.com`` that may receive real credentials."""
    listed = _conf().get("nbjobs", "allowed_endpoints", fallback=None) or ""
    return [address.strip() for address in listed.split(",") if address.strip()]


def airflow_address() -> str | None:
    """Return ``[api] base_url``, the address of Airflow's UI; ``None`` if it is not set."""
    return _conf().get("api", "base_url", fallback=None) or None


def deployment() -> str:
    """Return the name of this Airflow: ``[nbjobs] deployment``, else ``[api] base_url``; empty if neither is set."""
    return _conf().get("nbjobs", "deployment", fallback=None) or airflow_address() or ""


def is_deployment_certain() -> bool:
    """Return whether :func:`deployment` is unique to this Airflow. An address such as ``localhost`` is not."""
    name = deployment()
    return bool(name) and not _LOCAL_ADDRESS.search(name)


def requests_per_minute() -> int:
    """Return ``[nbjobs] requests_per_minute``: the limit of one triggerer for one project and location.

    The default is 120, a fifth of a project's quota (600 a minute, colab/docs/quotas).

    :raises AirflowConfigException: if it is not an integer.
    """
    return _integer("requests_per_minute", default=120)


def result_bytes() -> int:
    """Return ``[nbjobs] result_bytes``: the largest size of a notebook's results as JSON. The default is 48 KiB."""
    return _integer("result_bytes", default=48 * 1024)


def staging_bytes() -> int:
    """Return ``[nbjobs] staging_bytes``: a larger notebook is staged in Cloud Storage instead of sent.

    The default is 8 MiB. Google does not document how much the service accepts.
    """
    return _integer("staging_bytes", default=8 * 2**20)


def notebook_bytes() -> int:
    """Return ``[nbjobs] notebook_bytes``: the largest notebook in Cloud Storage that can get parameters.

    The default is 64 MiB.
    """
    return _integer("notebook_bytes", default=64 * 2**20)


def notebook_tab() -> bool:
    """Return ``[nbjobs] notebook_tab``: whether task instances have the tab "Notebook". The default is yes."""
    return bool(_conf().getboolean("nbjobs", "notebook_tab", fallback=True))


def ui_gcp_conn_id() -> str:
    """Return ``[nbjobs] ui_gcp_conn_id``: the connection with which the API server reads jobs and notebooks."""
    return _conf().get("nbjobs", "ui_gcp_conn_id", fallback=None) or "google_cloud_default"


def ui_notebook_bytes() -> int:
    """Return ``[nbjobs] ui_notebook_bytes``: the largest notebook that the tab shows. The default is 64 MiB."""
    return _integer("ui_notebook_bytes", default=64 * 2**20)


def ui_cache_bytes() -> int:
    """Return ``[nbjobs] ui_cache_bytes``: the size of the pages that are kept on disk. The default is 256 MiB."""
    return _integer("ui_cache_bytes", default=256 * 2**20)


def ui_renderings() -> int:
    """Return ``[nbjobs] ui_renderings``: how many notebooks one API server process renders at once; by default 2."""
    return _integer("ui_renderings", default=2)


def _integer(option: str, *, default: int) -> int:
    return int(_conf().getint("nbjobs", option, fallback=default)) if _may_be_set(option, default) else default


def _conf() -> Any:
    from airflow.providers.common.compat.sdk import conf

    return conf


def _may_be_set(option: str, default: int) -> bool:
    """Return whether ``[nbjobs]`` may have another value than the default: Airflow is loaded, or a place has one.

    Airflow writes all defaults into a new ``airflow.cfg``.
    """
    if is_airflow_loaded() or f"AIRFLOW__NBJOBS__{option.upper()}" in os.environ:
        return True
    home = os.environ.get("AIRFLOW_HOME", "~/airflow")
    file = Path(os.path.expandvars(os.environ.get("AIRFLOW_CONFIG", f"{home}/airflow.cfg"))).expanduser()
    parser = configparser.RawConfigParser(strict=False)
    try:
        parser.read(file, encoding="utf-8")
    except (configparser.Error, OSError, ValueError):  # Airflow itself reports what is wrong with the file
        return True
    return parser.get("nbjobs", option, fallback=str(default)) != str(default)

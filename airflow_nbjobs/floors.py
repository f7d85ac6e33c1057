"""Refuse an Airflow, or a provider of Airflow, that is older than this package supports.

Modules that DAG files and Airflow import load this one first. Otherwise an old version would fail with an error about a
missing name, which names no version. The package itself loads without this module: Airflow reads each provider's
metadata when it starts, and an error there would end Airflow and not only the DAG files that use this package.
"""

from __future__ import annotations

import re
from importlib import import_module

__all__ = ["FLOORS"]

FLOORS = {
    "apache-airflow": ("airflow", "3.1.0"),
    "apache-airflow-providers-common-compat": ("airflow.providers.common.compat", "1.12.0"),
    "apache-airflow-providers-google": ("airflow.providers.google", "16.0.0"),
}
"""For each package: the module that has its version, and the lowest version in ``pyproject.toml``."""


def _require(package: str, module: str, needed: str) -> None:
    """Raise ``ImportError`` if the package is missing or too old."""
    try:
        found = str(import_module(module).__version__)
    except ModuleNotFoundError:
        found = ""
    if not found or _numbers(found) < _numbers(needed):
        raise ImportError(
            f"airflow-nbjobs needs {package} {needed} or newer, and {found or 'no version of it'} is installed. "
            f"Run: pip install --upgrade '{package}>={needed}'",
            name=module,
        )


def _numbers(version: str) -> tuple[int, ...]:
    """Return the three numbers of a version; Google's images have suffixes, as in ``3.1.7+composer``."""
    return tuple(map(int, re.findall(r"\d+", version)[:3]))


for _package, _floor in FLOORS.items():
    _require(_package, *_floor)

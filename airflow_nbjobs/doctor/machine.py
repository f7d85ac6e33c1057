"""Checks of this machine: versions, settings, the emulator's variables, the triggerer. No credentials are used."""

from __future__ import annotations

import platform
from collections.abc import Iterator
from importlib.metadata import version
from typing import Any

import httpx

from airflow_nbjobs import settings
from airflow_nbjobs.doctor.findings import Finding, Verdict

__all__ = ["examine_machine"]

_PACKAGES = (
    "airflow-nbjobs",
    "apache-airflow",
    "apache-airflow-providers-google",
    "apache-airflow-providers-common-compat",
)
_AIRFLOW = "http://localhost:8080"
_START = "Run `airflow triggerer`. Tasks with deferrable=True wait in it."


def examine_machine() -> Iterator[Finding]:
    """Check this machine."""
    versions = [f"{name} {version(name)}" for name in _PACKAGES]
    yield Finding("versions", Verdict.GOOD, ", ".join([*versions, f"Python {platform.python_version()}"]))
    yield _deployment()
    if settings.emulator_address() or settings.storage_emulator_address():
        yield _emulator()
    yield _triggerer()


def _deployment() -> Finding:
    name = settings.deployment()
    if settings.is_deployment_certain():
        return Finding("deployment name", Verdict.GOOD, repr(name))
    found = f"{name!r} is not unique" if name else "it is not set"
    remedy = "Set [nbjobs] deployment. Without it, old jobs cannot be pruned, and jobs of lost tasks are not ended."
    verdict = Verdict.UNKNOWN if settings.emulator_address() else Verdict.BAD  # nobody shares an emulator's project
    return Finding("deployment name", verdict, found, remedy)


def _emulator() -> Finding:
    addresses = {
        "NBJOBS_EMULATOR_HOST": settings.emulator_address(),
        "STORAGE_EMULATOR_HOST": settings.storage_emulator_address(),
    }
    unset = [name for name, address in addresses.items() if address is None]
    if unset:
        found = f"{', '.join(addresses.keys() - unset)} is set, and {unset[0]} is not"
        remedy = "Set both as `nbjobs emulator` prints them, or unset both to use Google Cloud."
        return Finding("emulator", Verdict.BAD, found, remedy)
    return Finding("emulator", Verdict.GOOD, f"jobs run on {addresses['NBJOBS_EMULATOR_HOST']}, not on Google Cloud")


def _triggerer() -> Finding:
    url = f"{(settings.airflow_address() or _AIRFLOW).rstrip('/')}/api/v2/monitor/health"
    try:
        health: Any = httpx.get(url, timeout=5.0).json()
        status = health["triggerer"]["status"]
    except (httpx.HTTPError, httpx.InvalidURL, ValueError, LookupError, TypeError) as error:
        found = f"Airflow's health could not be read at {url}: {error or type(error).__name__}"
        remedy = "Start Airflow's API server, or set [api] base_url to its address."
        return Finding("triggerer", Verdict.UNKNOWN, " ".join(found.split()), remedy)
    if status == "healthy":
        return Finding("triggerer", Verdict.GOOD, "it runs")
    return Finding("triggerer", Verdict.BAD, f"its status is {status!r}", _START)

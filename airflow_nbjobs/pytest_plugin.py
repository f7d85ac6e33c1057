"""Pytest fixtures that come with the package: a test asks for ``nbjobs_emulator`` and has Vertex AI on its machine.

.. code-block:: python

    def test_the_report_runs(nbjobs_emulator):
        nbjobs_emulator.create_bucket("outputs")
        nbjobs_emulator.upload("gs://notebooks/report.ipynb", notebook)
        dag.test()
        assert nbjobs_emulator.book()[0]["state"] == "JOB_STATE_SUCCEEDED"

Loading this module imports nothing but pytest; the emulator's extra is needed when a test asks for it.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_nbjobs.emulator import Emulator


@pytest.fixture(scope="session")
def nbjobs_emulator_options() -> dict[str, Any]:
    """Give the arguments of the session's :class:`~airflow_nbjobs.emulator.Emulator`; override it to change them.

    By default operations end as soon as their jobs, rather than seconds later.
    """
    return {"cleanup_seconds": 0.0}


@pytest.fixture(scope="session")
def nbjobs_emulator_session(nbjobs_emulator_options: dict[str, Any]) -> Iterator[Emulator]:
    """Run one emulator for the whole session (for each worker of pytest-xdist), started when first asked for."""
    from airflow_nbjobs.emulator import Emulator

    with Emulator(**nbjobs_emulator_options) as emulator:
        yield emulator


@pytest.fixture
def nbjobs_emulator(nbjobs_emulator_session: Emulator, monkeypatch: pytest.MonkeyPatch) -> Iterator[Emulator]:
    """Point a test at the session's emulator, in a new project.

    For the length of the test ``NBJOBS_EMULATOR_HOST`` and ``STORAGE_EMULATOR_HOST`` name the emulator, and
    ``GOOGLE_CLOUD_PROJECT`` a project that no other test uses: lists of jobs show only those of the test. Buckets are
    shared by the session. Counts of requests begin at zero. Faults and quotas end with the test; a fault that was asked
    for and not met fails the test, for it proved nothing.
    """
    emulator = nbjobs_emulator_session
    emulator.reset_requests()
    for name, value in emulator.env.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("GOOGLE_CLOUD_PROJECT", f"test-{secrets.token_hex(6)}")
    yield emulator
    accounts = emulator.faults()
    emulator.clear_faults()
    unmet = [account for account in accounts if account["asked"] is not None and account["met"] < account["asked"]]
    if unmet:
        pytest.fail(f"faults that were asked for and not met: {unmet}", pytrace=False)

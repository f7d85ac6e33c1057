"""Checks of this machine: settings, the emulator's variables, the triggerer."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from airflow_nbjobs.doctor.findings import Finding
from airflow_nbjobs.doctor.machine import examine_machine
from tests.support.google_lookalike import Server


def examined() -> dict[str, Finding]:
    return {finding.check: finding for finding in examine_machine()}


@pytest.mark.parametrize(("status", "verdict"), [("healthy", "good"), ("unhealthy", "bad"), (None, "bad")])
def test_the_triggerer_is_asked_for_by_airflows_health(
    serve: Callable[..., Server], monkeypatch: pytest.MonkeyPatch, status: str | None, verdict: str
) -> None:
    server = serve((200, {}, {"triggerer": {"status": status}}))
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", server.url)
    assert examined()["triggerer"].verdict == verdict


def test_an_airflow_that_does_not_answer_is_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", "http://127.0.0.1:1")
    found = examined()["triggerer"]
    assert (found.verdict, "[api] base_url" in found.remedy) == ("unknown", True)


def test_an_answer_that_is_not_airflows_is_unknown(
    serve: Callable[..., Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", serve((200, {}, {"status": "up"})).url)
    assert examined()["triggerer"].verdict == "unknown"


@pytest.mark.parametrize(
    ("name", "verdict"), [("team-a", "good"), ("http://localhost:8080", "bad"), ("http://127.0.0.1/", "bad")]
)
def test_a_deployment_name_must_be_unique(monkeypatch: pytest.MonkeyPatch, name: str, verdict: str) -> None:
    monkeypatch.delenv("NBJOBS_EMULATOR_HOST", raising=False)
    monkeypatch.setenv("AIRFLOW__NBJOBS__DEPLOYMENT", name)
    assert examined()["deployment name"].verdict == verdict


@pytest.mark.parametrize("unset", ["NBJOBS_EMULATOR_HOST", "STORAGE_EMULATOR_HOST"])
def test_one_variable_of_the_emulator_alone_is_bad(monkeypatch: pytest.MonkeyPatch, unset: str) -> None:
    for name in ("NBJOBS_EMULATOR_HOST", "STORAGE_EMULATOR_HOST"):
        monkeypatch.setenv(name, "127.0.0.1:1")
    monkeypatch.delenv(unset)
    found = examined()["emulator"]
    assert (found.verdict, f"and {unset} is not" in found.detail) == ("bad", True)


def test_google_cloud_needs_no_emulator(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NBJOBS_EMULATOR_HOST", raising=False)
    monkeypatch.delenv("STORAGE_EMULATOR_HOST", raising=False)
    assert "emulator" not in examined()

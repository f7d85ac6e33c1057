"""``nbjobs doctor`` prints its findings and tells faults by its exit code."""

from __future__ import annotations

import json
import uuid

import pytest

from airflow_nbjobs.emulator import Emulator
from tests.support.commands import Command


@pytest.fixture(autouse=True)
def no_api_server(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the doctor ask no server that happens to run on this machine."""
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", "http://127.0.0.1:1")


@pytest.fixture
def output(nbjobs_emulator: Emulator) -> str:
    """Return an output URI whose bucket exists."""
    bucket = f"doctor-{uuid.uuid4().hex[:12]}"
    nbjobs_emulator.create_bucket(bucket)
    return f"gs://{bucket}/runs"


def test_every_check_is_a_line_with_its_mark(nbjobs: Command, output: str) -> None:
    done = nbjobs("doctor", "--location", "us-central1", "--output-uri", output)
    lines = done.stdout.splitlines()
    assert (done.returncode, {line[:2] for line in lines}) == (0, {"✓ ", "? ", "  "})
    assert "✓ create jobs: allowed" in lines


def test_a_fault_gives_exit_code_one_and_a_remedy(nbjobs: Command, output: str) -> None:
    done = nbjobs("doctor", "--output-uri", "gs://doctor-no-such-bucket/runs", NBJOBS_LOCATION="us-central1")
    after = done.stdout.partition("✗ output bucket: ")[2].splitlines()
    assert done.returncode == 1
    assert after[1].startswith("  Create the bucket: ")


def test_json_has_the_same_findings(nbjobs: Command, output: str) -> None:
    done = nbjobs("doctor", "--location", "us-central1", "--output-uri", output, "--json")
    findings = json.loads(done.stdout)
    assert {"check": "list jobs", "verdict": "good", "detail": "allowed", "remedy": ""} in findings
    assert "output bucket" in [finding["check"] for finding in findings]


def test_a_missing_connection_is_a_finding(nbjobs: Command) -> None:
    done = nbjobs(
        "doctor", "--location", "us-central1", "--gcp-conn-id", "nobody",
        NBJOBS_EMULATOR_HOST=None, STORAGE_EMULATOR_HOST=None,
    )  # fmt: skip
    assert done.returncode == 1
    assert "✗ credentials: The connection 'nobody' does not exist." in done.stdout


def test_without_a_location_only_this_machine_is_checked(nbjobs: Command) -> None:
    done = nbjobs("doctor", NBJOBS_LOCATION=None)
    assert "? Google Cloud: not checked\n  Give --location, such as us-central1.\n" in done.stdout

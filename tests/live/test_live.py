"""``make live`` with the emulator in place of the service, over TLS and with tokens."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from airflow_nbjobs.emulator import Emulator
from live.page import answers, page
from tests.live.contradictions import CONTRADICTIONS, Contrary
from tests.support.canaries import TOKEN, plant
from tests.support.google_lookalike import EMAIL, Relay, Server, new_key, write_certificate
from tests.support.waiting import eventually

ROOT = Path(__file__).resolve().parents[2]
ARGUMENTS = ["--project", "live-p", "--location", "us-central1", "--bucket", "live-b", "--service-account", EMAIL]
QUESTIONS = """\
| question | assumption | test |
|---|---|---|
| Is it so? | Yes. | `test_a`, `test_b` |
| And this? | No. | `test_c` |
| Nobody knows? | Maybe. | `test_d` |
"""
REPORT = """\
<testsuites><testsuite>
<testcase name="test_a[sync]"/>
<testcase name="test_b[sync-1]"><failure message="assert 1 | 2">long</failure></testcase>
<testcase name="test_c[sync]"/>
<testcase name="test_d[sync]"><skipped/></testcase>
</testsuite></testsuites>
"""


@pytest.fixture
def service(tmp_path: Path) -> Iterator[tuple[Emulator, Relay]]:
    """Run an emulator that contradicts one assumption, behind TLS."""
    write_certificate(tmp_path)
    with Emulator(runner="simulated", seconds=0.1, cleanup_seconds=0.0, filter_match="part") as emulator:
        relay = Relay(emulator.url, tmp_path, refused=())
        yield emulator, relay
        relay.close()


@pytest.fixture
def variables(service: tuple[Emulator, Relay], tmp_path: Path) -> Iterator[dict[str, str]]:
    """Return the environment of the command: default credentials whose tokens come from a token endpoint."""
    issuer = Server(lambda number: (200, {}, {"access_token": f"{TOKEN}-{number}", "expires_in": 3600}))
    key = {
        "type": "service_account",
        "project_id": "live-p",  # without one, google-auth looks for a machine of Google's
        "private_key_id": "1",
        "private_key": plant(new_key()),
        "client_email": EMAIL,
        "token_uri": issuer.url,
    }
    (tmp_path / "key.json").write_text(json.dumps(key))
    yield {
        **os.environ,
        "GOOGLE_APPLICATION_CREDENTIALS": str(tmp_path / "key.json"),
        "NBJOBS_LIVE_ENDPOINT": service[1].url,
        "NBJOBS_LIVE_PAUSE": "0.1",
        "NBJOBS_LIVE_SECONDS": "60",
        "SSL_CERT_FILE": str(tmp_path / "ca.pem"),
    }
    issuer.close()


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "live", *ARGUMENTS, *arguments]


def test_the_page_shows_what_contradicts_an_assumption(
    service: tuple[Emulator, Relay], variables: dict[str, str], tmp_path: Path
) -> None:
    only = "whole_name or without_an_environment or region_is_refused"
    run = command("--page", str(tmp_path / "live.md"), "--only", only, "--yes")
    done = subprocess.run(run, cwd=ROOT, env=variables, capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "about 3 USD" in done.stdout
    rows = {line.split(" | ")[0]: line for line in (tmp_path / "live.md").read_text().splitlines()}
    assert "**contradicted**" in rows["| Does `=~` match the whole value or a part?"]
    assert "--filter-match part" in rows["| Does `=~` match the whole value or a part?"]
    assert " | as assumed | " in rows["| Is an environment required?"]
    assert " | not asked | " in rows["| What is the default order?"]
    assert {str(token).rpartition("-")[0] for token in service[1].tokens} == {f"Bearer {TOKEN}"}


def test_the_page_shows_each_contradiction(
    service: tuple[Emulator, Relay], variables: dict[str, str], tmp_path: Path
) -> None:
    contrary = Contrary(service[0], tmp_path)
    service[0].create_bucket("live-b")
    more = {
        "NBJOBS_LIVE_ENDPOINT": contrary.url,
        "PYTEST_ADDOPTS": "-p tests.live.announce",
        "STORAGE_EMULATOR_HOST": service[0].storage_url,
    }
    run = command("--page", str(tmp_path / "live.md"), "--yes")
    done = subprocess.run(run, cwd=ROOT, env={**variables, **more}, capture_output=True, text=True, check=False)
    contrary.close()
    questions = answers((ROOT / "docs/assumptions.md").read_text(), "<testsuite/>")
    asked = {test for question in questions for test in question.tests}
    assert asked == set(CONTRADICTIONS)
    assert contrary.changed == asked, done.stdout
    rows = [line.split(" | ") for line in (tmp_path / "live.md").read_text().splitlines()[6:]]
    assert [row[0] for row in rows if not row[2].startswith("**contradicted**: ")] == [], done.stdout
    assert len(rows) == len(questions)
    assert [job["name"] for job in service[0].book("live-p") if not job["deleted"]] == []


def test_an_interrupted_run_deletes_its_jobs(
    service: tuple[Emulator, Relay], variables: dict[str, str], tmp_path: Path
) -> None:
    run = command("--page", str(tmp_path / "live.md"), "--only", "as_long_as or pages_show or most_100", "--yes")
    process = subprocess.Popen(run, cwd=ROOT, env=variables, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    eventually(lambda: service[0].book("live-p"))
    process.send_signal(signal.SIGTERM)
    told = process.communicate()[0].decode()
    jobs = service[0].book("live-p")
    assert [job["name"] for job in jobs if not job["deleted"]] == [], told
    assert (tmp_path / "live.md").exists(), told


def test_nothing_runs_without_consent(variables: dict[str, str], service: tuple[Emulator, Relay]) -> None:
    done = subprocess.run(command(), cwd=ROOT, env=variables, input="n\n", capture_output=True, text=True, check=False)
    assert (done.returncode, service[0].book("live-p")) == (2, [])
    assert done.stdout.endswith("Nothing was created. Answer y, or give --yes.\n")


def test_an_answer_is_that_of_all_its_tests() -> None:
    found = answers(QUESTIONS, REPORT)
    assert [answer.outcome for answer in found] == ["contradicted", "as assumed", "not asked"]
    assert found[0].said == "assert 1 | 2"
    assert "| **contradicted**: assert 1 \\| 2 |" in page(found, "abc")

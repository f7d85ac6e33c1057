"""``nbjobs run`` without an emulator: with a token of the connection, over TLS, at the configured endpoint."""

from __future__ import annotations

import json
import re
from pathlib import Path

from airflow_nbjobs.emulator import Emulator
from tests.support.canaries import TOKEN, plant
from tests.support.commands import Command, written
from tests.support.google_lookalike import EMAIL, Relay, Server, new_key, write_certificate


def test_a_notebook_runs_on_the_service_of_the_connection(
    nbjobs: Command, nbjobs_emulator: Emulator, tmp_path: Path
) -> None:
    """A relay with TLS stands before the emulator."""
    nbjobs_emulator.upload("gs://cloud-results/made", b"")
    write_certificate(tmp_path)
    issuer = Server(lambda number: (200, {}, {"access_token": f"{TOKEN}-{number}", "expires_in": 3600}))
    service = Relay(nbjobs_emulator.url, tmp_path, refused=())
    key = {
        "type": "service_account",
        "project_id": "on-the-cloud",
        "private_key_id": "1",
        "private_key": plant(new_key()),
        "client_email": EMAIL,
        "client_id": "1",
        "token_uri": issuer.url,
    }
    connection = {"conn_type": "google_cloud_platform", "extra": {"keyfile_dict": json.dumps(key)}}
    place = ["--location", "us-central1", "--runtime-template", "1", "--output-uri", "gs://cloud-results/runs"]
    variables = {
        "NBJOBS_EMULATOR_HOST": None,
        "AIRFLOW_CONN_GOOGLE_CLOUD_DEFAULT": json.dumps(connection),
        "AIRFLOW__NBJOBS__ENDPOINT": service.url,
        "AIRFLOW__NBJOBS__ALLOWED_ENDPOINTS": service.url,
        "SSL_CERT_FILE": str(tmp_path / "ca.pem"),
    }
    try:
        notebook = written(tmp_path / "square.ipynb", "import time; time.sleep(2)")
        done = nbjobs("run", notebook, "-p", "side:=3", "--poll-interval", "0.5", *place, **variables)
    finally:
        service.close()
        issuer.close()
    assert (done.returncode, json.loads(done.stdout or "null")) == (0, {"area": 9}), done.stderr
    assert set(service.tokens) == {f"Bearer {TOKEN}-1"}
    (job,) = nbjobs_emulator.book("on-the-cloud")
    assert job["state"] == "JOB_STATE_SUCCEEDED"
    assert re.search(r"^\d+:\d\d .* is SUCCEEDED\.$", done.stderr, re.MULTILINE)

"""The connection of a command."""

from __future__ import annotations

import argparse
import json

import pytest
from google.auth import impersonated_credentials

from airflow_nbjobs.commands.connection import add_connection, new_hook
from tests.support.google_lookalike import new_key

ACCOUNT = "reports@p.iam.gserviceaccount.com"


def test_the_given_account_is_impersonated(monkeypatch: pytest.MonkeyPatch) -> None:
    key = {"type": "service_account", "project_id": "p", "private_key": new_key(), "client_email": "me@p.x"}
    extra = {"keyfile_dict": json.dumps({**key, "token_uri": "https://oauth2.googleapis.com/token"})}
    monkeypatch.setenv("AIRFLOW_CONN_MINE", json.dumps({"conn_type": "google_cloud_platform", "extra": extra}))
    parser = argparse.ArgumentParser()
    add_connection(parser)
    hook = new_hook(parser.parse_args(["--gcp-conn-id", "mine", "--impersonate", ACCOUNT]))
    credentials, project = hook.get_credentials_and_project_id()
    assert isinstance(credentials, impersonated_credentials.Credentials)
    assert (hook.service_account_email(), project) == (ACCOUNT, "p")

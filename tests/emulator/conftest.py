"""A raw client for each test."""

from __future__ import annotations

import os

import pytest

from tests.support.emulator_api import Api


@pytest.fixture
def api(nbjobs_emulator):
    nbjobs_emulator.create_bucket("emulator-output")
    with Api(nbjobs_emulator, os.environ["GOOGLE_CLOUD_PROJECT"]) as api:
        yield api
        for entry in nbjobs_emulator.book(api.project):
            if not entry["deleted"]:
                api.http.delete(entry["name"])

"""A raw client of the emulator: every answer is checked against Google's discovery document."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any, Self

import httpx

from tests.support import discovery
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from airflow_nbjobs.emulator import Emulator

ENDED = {f"JOB_STATE_{state}" for state in ("SUCCEEDED", "FAILED", "CANCELLED", "EXPIRED", "PARTIALLY_SUCCEEDED")}


class Api:
    """HTTP to one emulator; a name may begin at ``projects/``."""

    def __init__(self, emulator: Emulator, project: str) -> None:
        self.emulator = emulator
        self.project = project
        self.jobs = f"projects/{project}/locations/us-central1/notebookExecutionJobs"
        self.http = httpx.Client(
            base_url=f"{emulator.url}/v1/", trust_env=False, timeout=30, event_hooks={"response": [_check]}
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.http.close()

    def job(self, code: str = "print(6 * 7)", **fields: Any) -> dict[str, Any]:
        """Describe a job that runs one cell; a field that is None is left out."""
        job = {
            "displayName": "a job",
            "directNotebookSource": {"content": base64.b64encode(notebook(code)).decode()},
            "customEnvironmentSpec": {},
            "serviceAccount": "runner@local.iam.gserviceaccount.com",
            "gcsOutputUri": "gs://emulator-output/runs",
            **fields,
        }
        return {key: value for key, value in job.items() if value is not None}

    def post(self, job: dict[str, Any], **query: str) -> httpx.Response:
        return self.http.post(self.jobs, json=job, params=query)

    def create(self, code: str = "print(6 * 7)", **fields: Any) -> str:
        """Create a job and return its name."""
        answer = self.post(self.job(code, **fields))
        assert answer.status_code == 200, answer.text
        return answer.json()["name"].partition("/operations/")[0]

    def get(self, name: str) -> dict[str, Any]:
        return self.http.get(name).json()

    def reaches(self, name: str, *states: str) -> dict[str, Any]:
        """Wait for a state, by default for the end, and return the job."""
        wanted = {f"JOB_STATE_{state}" for state in states} or ENDED
        return eventually(lambda: (job := self.get(name)).get("jobState") in wanted and job, within_seconds=60)

    def history(self, name: str) -> list[str]:
        """Read a job's states from the book."""
        (entry,) = [entry for entry in self.emulator.book() if entry["name"] == name]
        return [step["state"].removeprefix("JOB_STATE_") for step in entry["history"]]

    def operation(self, name: str) -> dict[str, Any]:
        """Read the create operation of a job."""
        return self.http.get(f"{name}/operations").json()["operations"][-1]


def _check(response: httpx.Response) -> None:
    # Answers only: these tests send on purpose what no client should.
    request = response.request
    if "/_emulator/" not in str(response.url) and request.method != "HEAD":
        discovery.check(request.method, str(request.url), None, response.status_code, response.read())


def notebook(code: str) -> bytes:
    """Return a notebook of one cell, as a file."""
    cell = {"cell_type": "code", "id": "only", "metadata": {}, "source": code, "outputs": [], "execution_count": None}
    return json.dumps({"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": [cell]}).encode()

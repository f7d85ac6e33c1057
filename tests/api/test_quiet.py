"""Our polls are not in the log; warnings and the requests of others are."""

from __future__ import annotations

import logging

import httpx
import pytest

from airflow_nbjobs.api import calls
from tests.support.raw_server import FOUND, JOB, RawServer, http_answer


@pytest.fixture
def lines(caplog):
    caplog.set_level(logging.INFO, logger="httpx")
    return lambda: [record.getMessage() for record in caplog.records if record.name == "httpx"]


def test_our_own_requests_are_not_logged(lines, serve):
    talk, server = serve(FOUND)
    talk.send(calls.get_job(JOB))
    assert (len(server.requests), lines()) == (1, [])


@pytest.mark.parametrize(
    "path", ["/", "/v1/projects/p/locations/l/pipelineJobs/notebookExecutionJobs2", "/x?a=/v1/projects/"]
)
def test_other_requests_are_logged(lines, path):
    with RawServer(lambda *_: http_answer(200)) as server, httpx.Client() as client:
        client.get(server.url + path)
    assert len(lines()) == 1
    assert path in lines()[0]


def test_warnings_about_our_requests_are_logged(lines):
    logging.getLogger("httpx").warning("Slow: %s", httpx.URL(f"https://x.googleapis.com/v1/{JOB}"))
    assert lines() == [f"Slow: https://x.googleapis.com/v1/{JOB}"]

"""A task that waits for hours does not fill its log with polls; what fails, and other people's requests, is logged."""

from __future__ import annotations

import logging

import httpx2
import pytest

from airflow_nbjobs.api import calls
from tests.support.raw_server import RawServer, http_answer, refusal

JOB = "projects/p/locations/us-central1/notebookExecutionJobs/5"
GOOD = http_answer(200, b'{"name": "%s"}' % JOB.encode())


@pytest.fixture
def lines(caplog):
    caplog.set_level(logging.INFO, logger="httpx2")
    return lambda: [record.getMessage() for record in caplog.records if record.name == "httpx2"]


def test_our_own_requests_are_not_logged(lines, open_talk):
    with RawServer(lambda *_: GOOD) as server:
        open_talk(server.url).send(calls.get_job(JOB))
        open_talk(server.url).send(calls.list_jobs("projects/p/locations/us-central1"))
        assert len(server.requests) == 2
    assert lines() == []


@pytest.mark.parametrize(
    "path", ["/", "/v1/projects/p/locations/l/pipelineJobs/notebookExecutionJobs2", "/x?a=/v1/projects/"]
)
def test_other_requests_are_logged(lines, open_talk, path):
    with RawServer(lambda *_: http_answer(200)) as server, httpx2.Client() as client:
        client.get(server.url + path)
    assert len(lines()) == 1
    assert path in lines()[0]


def test_warnings_about_our_requests_are_logged(lines, open_talk):
    logging.getLogger("httpx2").warning("Slow: %s", httpx2.URL(f"https://x.googleapis.com/v1/{JOB}"))
    assert lines() == [f"Slow: https://x.googleapis.com/v1/{JOB}"]


def test_a_try_that_fails_is_logged_before_the_next_one(caplog, open_talk):
    """An outage is borne for a quarter of an hour: nobody shall wonder meanwhile what a task is doing."""
    down = http_answer(503, refusal(503, "UNAVAILABLE"))
    with RawServer(lambda _, number: down if number < 2 else GOOD) as server:
        talk = open_talk(server.url)
        talk.send(calls.get_job(JOB))
    told = [record.getMessage() for record in caplog.records if record.name == "airflow_nbjobs.api.retries"]
    assert told == [f"Trying again in {pause:.1f} s: 503 UNAVAILABLE: said so" for pause in talk.slept]
    assert len(told) == 2

"""What is sent again, how often, and how long; and what never is."""

from __future__ import annotations

import contextlib
import json
import socket
import time

import pytest

from airflow_nbjobs.api import calls
from airflow_nbjobs.api.client import Client
from airflow_nbjobs.api.endpoint import Endpoint
from airflow_nbjobs.api.pacing import BRISK, ENDURING, PATIENT, Patience
from airflow_nbjobs.exceptions import (
    ApiError,
    InvalidArgumentError,
    NotFoundError,
    RateLimitedError,
    TransportError,
    UnavailableError,
    UnexpectedAnswerError,
)
from tests.support.raw_server import RawServer, http_answer, refusal
from tests.support.waiting import eventually

JOB = "projects/p/locations/us-central1/notebookExecutionJobs/5"
GOOD = json.dumps({"name": JOB, "jobState": "JOB_STATE_RUNNING"}).encode()
CREATED = json.dumps({"name": f"{JOB}/operations/7"}).encode()

AMBIGUOUS = {
    "503": http_answer(503, refusal(503, "UNAVAILABLE")),
    "500": http_answer(500, refusal(500, "INTERNAL")),
    "408": http_answer(408, b"timeout"),
    "aborted": http_answer(409, refusal(409, "ABORTED")),
    "dropped": b"",
    "cut short": http_answer(200, b"{", length=99),
    "HTML": http_answer(200, b"<html>"),
    "other JSON": http_answer(200, b'{"jobState": "JOB_STATE_SUCCEEDED"}'),
    "redirect": http_answer(307, b"", "Location: /elsewhere"),
}
FINAL = {400: "INVALID_ARGUMENT", 401: "UNAUTHENTICATED", 403: "PERMISSION_DENIED", 404: "NOT_FOUND"}


@pytest.mark.parametrize("bad", [*AMBIGUOUS.values(), http_answer(429, b"")], ids=[*AMBIGUOUS, "429"])
@pytest.mark.parametrize(
    ("call", "good"), [(calls.get_job(JOB), GOOD), (calls.delete_job(JOB), CREATED)], ids=["get", "delete"]
)
def test_reads_and_deletes_are_sent_again(open_talk, bad, call, good):
    with RawServer(lambda _, number: bad if number < 2 else http_answer(200, good)) as server:
        talk = open_talk(server.url)
        assert talk.send(call).name == json.loads(good)["name"]
        assert len(server.requests) == 3
        assert len(talk.slept) == 2


@pytest.mark.parametrize("bad", AMBIGUOUS.values(), ids=AMBIGUOUS)
def test_a_create_that_may_have_happened_is_not_sent_again(open_talk, a_job, bad):
    with RawServer(lambda _, number: bad if number == 0 else http_answer(200, CREATED)) as server:
        with pytest.raises(ApiError):
            open_talk(server.url).send(calls.create_job("projects/p/locations/us-central1", a_job))
        assert len(server.requests) == 1


@pytest.mark.parametrize("fault", [{"status": 503}, {"drop": True}], ids=["503", "dropped"])
def test_a_create_whose_answer_is_lost_makes_one_job(talk, emulator, project, where, a_job, fault):
    emulator.fault({"method": "create", "phase": "after", **fault})
    with pytest.raises((UnavailableError, TransportError)):
        talk.send(calls.create_job(where, a_job))
    assert len(emulator.book(project)) == 1


def test_a_create_that_was_rate_limited_is_sent_again(talk, emulator, project, where, a_job):
    emulator.fault({"method": "create", "status": 429, "times": 3})
    operation = talk.send(calls.create_job(where, a_job))
    assert [job["name"] for job in emulator.book(project)] == [operation.name.partition("/operations/")[0]]
    assert emulator.requests()["create"] == {"200": 1, "429": 3}


@pytest.mark.parametrize(("queueing", "tries"), [(7200.0, 51), (40.0, 2)])
def test_a_create_waits_its_turn_however_often_the_quota_refuses_it(open_talk, a_job, queueing, tries):
    """A wave of tasks is over after as many minutes as the quota needs: that is not an outage."""
    refused = http_answer(429, refusal(429, "RESOURCE_EXHAUSTED"))
    with RawServer(lambda _, number: refused if number < 50 else http_answer(200, CREATED)) as server:
        talk = open_talk(server.url)
        with contextlib.suppress(RateLimitedError):
            talk.send(calls.create_job("projects/p/locations/us-central1", a_job), Patience(queueing=queueing))
        assert len(server.requests) == tries
    assert all(45 <= pause <= 75 for pause in talk.slept[1:])


def test_a_create_that_reached_nobody_is_sent_again(open_talk, a_job):
    """The connection is refused until the pause between two tries, in which the server comes up."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        talk = open_talk(f"http://127.0.0.1:{held.getsockname()[1]}")
        with pytest.raises(TransportError):
            talk.send(calls.create_job("projects/p/locations/us-central1", a_job))
    assert len(talk.slept) == PATIENT.tries - 1


@pytest.mark.parametrize("status", FINAL)
@pytest.mark.parametrize(
    "call", [calls.get_job(JOB), calls.cancel_operation(f"{JOB}/operations/7")], ids=["get", "cancel"]
)
def test_what_is_refused_for_good_is_not_sent_again(open_talk, status, call):
    with RawServer(lambda *_: http_answer(status, refusal(status, FINAL[status]))) as server:
        with pytest.raises(ApiError):
            open_talk(server.url).send(call)
        assert len(server.requests) == 1


@pytest.mark.parametrize("tries", [1, 2, 6])
def test_tries_are_bounded_and_the_last_error_is_told(open_talk, tries):
    with RawServer(lambda _, number: http_answer(503, refusal(503, "UNAVAILABLE", f"try {number + 1}"))) as server:
        talk = open_talk(server.url)
        with pytest.raises(UnavailableError, match=f"try {tries}$"):
            talk.send(calls.get_job(JOB), Patience(tries=tries, seconds=1000))
        assert len(server.requests) == tries
        assert len(talk.slept) == tries - 1


def test_retry_after_is_waited_for_and_a_little_more(open_talk):
    answers = [http_answer(429, refusal(429, "RESOURCE_EXHAUSTED"), "Retry-After: 20"), http_answer(200, GOOD)]
    with RawServer(lambda _, number: answers[number]) as server:
        talk = open_talk(server.url)
        talk.send(calls.get_job(JOB))
    assert 20 <= talk.slept[0] <= 21


@pytest.mark.parametrize("asked", ["301", "901", "86400", "9" * 400])
@pytest.mark.parametrize(("patience", "longest"), [(PATIENT, 30), (ENDURING, 300), (Patience(seconds=60), 20)])
@pytest.mark.parametrize("status", [429, 503])
def test_who_is_asked_to_wait_for_longer_than_there_is_time_looks_once_more(
    open_talk, asked, patience, longest, status
):
    """One proxy that asks for an hour is no reason to give a job up."""
    answer = http_answer(status, refusal(status, "UNAVAILABLE"), f"Retry-After: {asked}")
    with RawServer(lambda _, number: answer if number < 2 else http_answer(200, GOOD)) as server:
        talk = open_talk(server.url)
        assert talk.send(calls.get_job(JOB), patience).name == JOB
    assert [longest <= pause <= longest + 2 for pause in talk.slept] == [True, True]


@pytest.mark.parametrize("asked", ["901", "86400", "9" * 400])
def test_a_create_that_waits_its_turn_does_not_give_up_for_what_it_is_asked_once(open_talk, a_job, asked):
    refused = http_answer(429, refusal(429, "RESOURCE_EXHAUSTED"), f"Retry-After: {asked}")
    with RawServer(lambda _, number: refused if number < 2 else http_answer(200, CREATED)) as server:
        talk = open_talk(server.url)
        talk.send(calls.create_job("projects/p/locations/us-central1", a_job))
    assert [300 <= pause <= 330 for pause in talk.slept] == [True, True]


def test_no_try_begins_after_the_time_is_over():
    """Here time goes by as it does."""
    answer = http_answer(503, refusal(503, "UNAVAILABLE"), "Retry-After: 86400")
    with RawServer(lambda *_: answer) as server, Client(Endpoint(server.url, is_trusted=False), None) as client:
        begun = time.monotonic()
        with pytest.raises(UnavailableError):
            client.send(calls.get_job(JOB), Patience(seconds=3.0))
        assert time.monotonic() - begun < 3.5
        assert len(server.requests) > 1


def test_who_is_about_to_be_killed_waits_less_than_airflow_allows(open_talk):
    with RawServer(lambda *_: None) as server:
        talk = open_talk(server.url)
        with pytest.raises(TransportError):
            talk.send(calls.get_job(JOB), Patience(BRISK.tries, BRISK.seconds, timeout=0.1))
        assert len(server.requests) == BRISK.tries
    assert sum(talk.slept) < BRISK.seconds


def test_a_delete_that_is_repeated_and_finds_nothing_has_succeeded(talk, emulator, where, a_job):
    """The first try deleted the job and its answer was lost: saying "not found" would be untrue."""
    name = talk.send(calls.create_job(where, a_job)).name.partition("/operations/")[0]
    eventually(lambda: talk.send(calls.get_job(name)).job_state.is_terminal)
    emulator.fault({"method": "delete", "phase": "after", "drop": True})
    operation = talk.send(calls.delete_job(name))
    assert (operation.done, operation.name) == (True, "")
    assert emulator.requests()["delete"] == {"404": 1, "dropped": 1}


def test_a_delete_that_finds_nothing_at_once_says_so(talk, emulator, where):
    with pytest.raises(NotFoundError):
        talk.send(calls.delete_job(f"{where}/notebookExecutionJobs/1"))


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_no_redirect_is_followed(open_talk, status):
    with RawServer(lambda *_: http_answer(200, GOOD)) as elsewhere:
        moved = http_answer(status, b"", f"Location: {elsewhere.url}/v1/{JOB}")
        with RawServer(lambda *_: moved) as server, pytest.raises(UnexpectedAnswerError, match="is not followed"):
            open_talk(server.url).send(calls.get_job(JOB), Patience(tries=1))
        assert elsewhere.requests == []


def test_a_proxy_of_the_environment_does_not_come_between_this_machine_and_itself(monkeypatch, open_talk):
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    with RawServer(lambda *_: http_answer(200, GOOD)) as server:
        assert open_talk(server.url).send(calls.get_job(JOB)).name == JOB


def test_a_proxy_of_the_environment_leads_to_everybody_else(monkeypatch, open_talk):
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    with RawServer(lambda *_: http_answer(200, GOOD)) as proxy:
        monkeypatch.setenv("http_proxy", proxy.url)
        assert open_talk("http://emulator.example:9099").send(calls.get_job(JOB)).name == JOB
        assert proxy.requests[0].startswith(f"GET http://emulator.example:9099/v1/{JOB} ")


def test_pages_are_asked_for_as_they_are_needed(talk, emulator, where, a_job):
    for _ in range(5):
        talk.send(calls.create_job(where, a_job))
    emulator.reset_requests()
    listing = calls.list_jobs(where, order_by="create_time", page_size=2)
    assert len(talk.first(listing, 2)) == 2
    assert emulator.requests()["list"] == {"200": 1}
    names = [job.name for job in talk.first(listing)]
    assert len(set(names)) == 5
    assert emulator.requests()["list"] == {"200": 4}


def test_a_later_page_is_retried_like_the_first(open_talk):
    pages = [
        http_answer(200, json.dumps({"notebookExecutionJobs": [{"name": JOB}], "nextPageToken": "t"}).encode()),
        http_answer(503, b""),
        http_answer(200, json.dumps({"notebookExecutionJobs": [{"name": JOB}]}).encode()),
    ]
    with RawServer(lambda _, number: pages[number]) as server:
        found = open_talk(server.url).first(calls.list_jobs("projects/p/locations/us-central1"))
        assert len(found) == 2
        assert ["pageToken=t" in request for request in server.requests] == [False, True, True]


def test_pages_are_tried_as_patiently_as_asked(open_talk):
    with RawServer(lambda *_: http_answer(503, b"")) as server:
        with pytest.raises(UnavailableError):
            open_talk(server.url).first(calls.list_jobs("projects/p/locations/us-central1"), None, Patience(tries=2))
        assert len(server.requests) == 2


def test_an_argument_that_the_service_refuses_keeps_its_words(talk, where):
    with pytest.raises(InvalidArgumentError, match="jobState"):
        talk.first(calls.list_jobs(where, filter='jobState="JOB_STATE_RUNNING"'))

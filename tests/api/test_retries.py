"""What is sent again, how often, and how long; and what never is."""

from __future__ import annotations

import logging
import socket
from contextlib import suppress
from types import SimpleNamespace

import pytest

from airflow_nbjobs.api import calls
from airflow_nbjobs.api.pacing import ENDURING, PATIENT, Patience
from airflow_nbjobs.api.retries import retried
from airflow_nbjobs.exceptions import (
    ApiError,
    InvalidArgumentError,
    NotFoundError,
    RateLimitedError,
    TransportError,
    UnavailableError,
)
from tests.support.raw_server import CREATED, DOWN, FOUND, JOB, OPERATION, PARENT, http_answer, refused
from tests.support.waiting import eventually

AMBIGUOUS = {
    "503": DOWN,
    "500": refused(500, "INTERNAL"),
    "408": http_answer(408, b"timeout"),
    "aborted": refused(409, "ABORTED"),
    "dropped": b"",
    "cut short": http_answer(200, b"{", length=99),
    "HTML": http_answer(200, b"<html>"),
    "other JSON": http_answer(200, {"jobState": "JOB_STATE_SUCCEEDED"}),
    "redirect": http_answer(307, b"", "Location: /elsewhere"),
}
FINAL = {400: "INVALID_ARGUMENT", 401: "UNAUTHENTICATED", 403: "PERMISSION_DENIED", 404: "NOT_FOUND"}
LIMITED = refused(429, "RESOURCE_EXHAUSTED")


@pytest.mark.parametrize("bad", [*AMBIGUOUS.values(), http_answer(429, b"")], ids=[*AMBIGUOUS, "429"])
@pytest.mark.parametrize(
    ("call", "good"), [(calls.get_job(JOB), FOUND), (calls.delete_job(JOB), CREATED)], ids=["get", "delete"]
)
def test_reads_and_deletes_are_sent_again(serve, bad, call, good):
    talk, server = serve(bad, bad, good)
    assert talk.send(call).name in (JOB, OPERATION)
    assert (len(server.requests), len(talk.slept)) == (3, 2)


@pytest.mark.parametrize("bad", AMBIGUOUS.values(), ids=AMBIGUOUS)
def test_a_create_that_may_have_happened_is_not_sent_again(serve, a_job, bad):
    talk, server = serve(bad, CREATED)
    with pytest.raises(ApiError):
        talk.send(calls.create_job(PARENT, a_job))
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
def test_a_create_waits_its_turn_however_often_it_is_refused(serve, a_job, queueing, tries):
    """A wave of tasks takes as many minutes as the quota needs: that is not an outage."""
    talk, server = serve(*[LIMITED] * 50, CREATED)
    with suppress(RateLimitedError):
        talk.send(calls.create_job(PARENT, a_job), Patience(queueing=queueing))
    assert len(server.requests) == tries
    assert all(45 <= pause <= 75 for pause in talk.slept[1:])


def test_a_create_that_made_no_connection_is_sent_again(open_talk, a_job):
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        talk = open_talk(f"http://127.0.0.1:{held.getsockname()[1]}")
        with pytest.raises(TransportError):
            talk.send(calls.create_job(PARENT, a_job))
    assert len(talk.slept) == PATIENT.tries - 1


@pytest.mark.parametrize("status", FINAL)
@pytest.mark.parametrize("call", [calls.get_job(JOB), calls.cancel_operation(OPERATION)], ids=["get", "cancel"])
def test_a_final_refusal_is_not_sent_again(serve, status, call):
    talk, server = serve(refused(status, FINAL[status]))
    with pytest.raises(ApiError):
        talk.send(call)
    assert len(server.requests) == 1


@pytest.mark.parametrize("tries", [1, 2, 6])
def test_tries_are_bounded_and_the_last_error_is_raised(serve, tries):
    talk, server = serve(*(refused(503, "UNAVAILABLE", message=f"try {number}") for number in range(1, 9)))
    with pytest.raises(UnavailableError, match=f"try {tries}$"):
        talk.send(calls.get_job(JOB), Patience(tries=tries, seconds=1000))
    assert (len(server.requests), len(talk.slept)) == (tries, tries - 1)


def test_each_failed_try_is_logged_before_the_next(caplog, serve):
    """An outage may last a quarter of an hour: the log says what the task is doing."""
    caplog.set_level(logging.WARNING)
    talk, _ = serve(DOWN, DOWN, FOUND)
    talk.send(calls.get_job(JOB))
    lines = [record.getMessage() for record in caplog.records if record.name == "airflow_nbjobs.api.retries"]
    assert lines == [f"Trying again in {pause:.1f} s: 503 UNAVAILABLE: said so" for pause in talk.slept]
    assert len(lines) == 2


def test_retry_after_is_waited_for_and_a_little_more(serve):
    talk, _ = serve(refused(429, "RESOURCE_EXHAUSTED", "Retry-After: 20"), FOUND)
    talk.send(calls.get_job(JOB))
    assert 20 <= talk.slept[0] <= 21


@pytest.mark.parametrize("asked", ["301", "901", "86400", "9" * 400])
@pytest.mark.parametrize(("patience", "longest"), [(PATIENT, 30), (ENDURING, 300), (Patience(seconds=60), 20)])
@pytest.mark.parametrize("status", [429, 503])
def test_a_retry_after_beyond_the_time_left_is_cut(serve, asked, patience, longest, status):
    """A proxy may ask for a pause of an hour; the job is not given up."""
    answer = refused(status, "UNAVAILABLE", f"Retry-After: {asked}")
    talk, _ = serve(answer, answer, FOUND)
    assert talk.send(calls.get_job(JOB), patience).name == JOB
    assert [longest <= pause <= longest + 2 for pause in talk.slept] == [True, True]


@pytest.mark.parametrize("asked", ["901", "86400", "9" * 400])
def test_a_long_retry_after_does_not_end_a_queued_create(serve, a_job, asked):
    answer = refused(429, "RESOURCE_EXHAUSTED", f"Retry-After: {asked}")
    talk, _ = serve(answer, answer, CREATED)
    talk.send(calls.create_job(PARENT, a_job))
    assert [300 <= pause <= 330 for pause in talk.slept] == [True, True]


def test_no_try_begins_after_the_time_is_over(monkeypatch):
    now = [0.0]
    monkeypatch.setattr("airflow_nbjobs.api.retries.time", SimpleNamespace(monotonic=lambda: now[0]))
    flow = retried(calls.get_job(JOB), Patience(tries=99, seconds=60.0))
    begun = []
    with suppress(UnavailableError):
        next(flow)
        while True:
            begun.append(now[0])
            now[0] += flow.throw(UnavailableError("down", retry_after=15)).seconds
            assert flow.send(None).path == f"/v1/{JOB}"
    assert 3 <= len(begun) <= 4
    assert begun[-1] < 60


def test_a_call_gives_up_when_its_patience_ends(serve):
    talk, server = serve(None)
    with pytest.raises(TransportError):
        talk.send(calls.get_job(JOB), Patience(tries=3, seconds=3.5, timeout=0.1))
    assert len(server.requests) == 3
    assert sum(talk.slept) < 3.5


def test_a_repeated_delete_that_finds_nothing_has_succeeded(talk, emulator, where, a_job):
    """The first try deleted the job and its answer was lost."""
    name = talk.send(calls.create_job(where, a_job)).name.partition("/operations/")[0]
    eventually(lambda: talk.send(calls.get_job(name)).job_state.is_terminal)
    emulator.fault({"method": "delete", "phase": "after", "drop": True})
    operation = talk.send(calls.delete_job(name))
    assert (operation.done, operation.name) == (True, "")
    assert emulator.requests()["delete"] == {"404": 1, "dropped": 1}


def test_a_delete_that_finds_nothing_at_once_fails(talk, where):
    with pytest.raises(NotFoundError):
        talk.send(calls.delete_job(f"{where}/notebookExecutionJobs/1"))


def test_a_later_page_is_retried_like_the_first(serve):
    page = {"notebookExecutionJobs": [{"name": JOB}]}
    talk, server = serve(http_answer(200, {**page, "nextPageToken": "t"}), DOWN, http_answer(200, page))
    assert len(talk.first(calls.list_jobs(PARENT))) == 2
    assert ["pageToken=t" in request for request in server.requests] == [False, True, True]


def test_each_page_is_tried_as_often_as_requested(serve):
    talk, server = serve(DOWN)
    with pytest.raises(UnavailableError):
        talk.first(calls.list_jobs(PARENT), None, Patience(tries=2))
    assert len(server.requests) == 2


def test_an_invalid_argument_keeps_the_words_of_the_service(talk, where):
    with pytest.raises(InvalidArgumentError, match="jobState"):
        talk.first(calls.list_jobs(where, filter='jobState="JOB_STATE_RUNNING"'))

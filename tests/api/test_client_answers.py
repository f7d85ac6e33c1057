"""Every answer, and the lack of one, becomes a value or one of our errors."""

from __future__ import annotations

import json
import pickle
import socket
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import httpx2
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from airflow_nbjobs import exceptions
from airflow_nbjobs.api import calls
from airflow_nbjobs.api.answers import read_answer
from airflow_nbjobs.api.job import JobState, NotebookExecutionJob
from airflow_nbjobs.api.pacing import Patience
from airflow_nbjobs.exceptions import (
    ApiError,
    NotFoundError,
    TransportError,
    UnavailableError,
    UnexpectedAnswerError,
)
from airflow_nbjobs.watch.horizon import get_glimpse, list_glimpses
from tests.support.raw_server import RawServer, http_answer, refusal

ONCE = Patience(tries=1, seconds=5, timeout=5)
PARENT = "projects/p/locations/us-central1"
JOB = f"{PARENT}/notebookExecutionJobs/5"
STATUSES = {
    400: exceptions.InvalidArgumentError,
    401: exceptions.UnauthenticatedError,
    403: exceptions.PermissionDeniedError,
    404: exceptions.NotFoundError,
    408: exceptions.UnavailableError,
    409: exceptions.FailedPreconditionError,
    418: exceptions.InvalidArgumentError,
    429: exceptions.RateLimitedError,
    500: exceptions.UnavailableError,
    501: exceptions.NotImplementedByServiceError,
    502: exceptions.UnavailableError,
    503: exceptions.UnavailableError,
    504: exceptions.UnavailableError,
    599: exceptions.UnavailableError,
}
TRANSIENT = {
    exceptions.UnavailableError,
    exceptions.RateLimitedError,
    exceptions.TransportError,
    exceptions.UnexpectedAnswerError,
    exceptions.AbortedError,
}


@pytest.mark.parametrize("status", STATUSES)
def test_a_refusal_has_the_type_of_its_status_and_the_services_words(talk, emulator, status):
    emulator.fault({"method": "get", "status": status, "message": "The reason why.", "retry_after": 7})
    with pytest.raises(ApiError) as refused:
        talk.send(calls.get_job(JOB), ONCE)
    error = refused.value
    assert type(error) is STATUSES[status]
    assert (error.http_status, error.message, error.retry_after) == (status, "The reason why.", 7)
    assert str(error) == f"{status} {error.status}: The reason why."
    assert error.is_transient is (type(error) in TRANSIENT)


@pytest.mark.parametrize(
    ("status", "name", "kind"),
    [
        (400, "FAILED_PRECONDITION", exceptions.FailedPreconditionError),
        (409, "ABORTED", exceptions.AbortedError),
        (409, "ALREADY_EXISTS", exceptions.FailedPreconditionError),
    ],
)
def test_the_canonical_name_decides_where_the_status_says_too_little(open_talk, status, name, kind):
    details = [{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "R"}]
    answer = http_answer(status, refusal(status, name, details=details))
    with RawServer(lambda *_: answer) as server, pytest.raises(kind) as refused:
        open_talk(server.url).send(calls.get_job(JOB), ONCE)
    assert (refused.value.status, refused.value.details) == (name, tuple(details))
    twin = pickle.loads(pickle.dumps(refused.value))  # noqa: S301 - our own bytes
    assert (type(twin), str(twin), vars(twin)) == (kind, str(refused.value), vars(refused.value))


@pytest.mark.parametrize(
    ("status", "message", "kind"),
    [
        (409, "It exists.", exceptions.AlreadyExistsError),
        (429, "Quota 'CPUS' exceeded. Limit: 24.0", exceptions.NoCapacityError),
    ],
)
def test_only_of_a_create_it_says_that_an_id_is_taken_or_no_machine_is_to_be_had(talk, emulator, status, message, kind):
    emulator.fault({"method": "create", "status": status, "message": message})
    emulator.fault({"method": "get", "status": status, "message": message})
    creating = calls.create_job(PARENT, NotebookExecutionJob(gcs_output_uri="gs://results/runs"))
    with pytest.raises(kind):
        talk.send(creating, ONCE)
    with pytest.raises(ApiError) as refused:
        talk.send(calls.get_job(JOB), ONCE)
    assert type(refused.value) in {exceptions.FailedPreconditionError, exceptions.RateLimitedError}


def test_an_error_in_a_list_is_read_too(open_talk):
    body = b"[" + refusal(404, "NOT_FOUND") + b"]"
    with RawServer(lambda *_: http_answer(404, body)) as server, pytest.raises(NotFoundError, match="said so"):
        open_talk(server.url).send(calls.get_job(JOB), ONCE)


HTML = b"<!DOCTYPE html><title>Error</title>"
DEEP = b"[" * 200_000
CHARSETS = ["undefined", "utf-16", "utf-7", "idna", "hex", "base64", "rot13", "no-such", "\xff"]


@pytest.mark.parametrize(
    "answer",
    [
        http_answer(200, HTML, "Content-Type: text/html"),
        http_answer(200, b""),
        http_answer(200, b"[]"),
        http_answer(200, b"null"),
        http_answer(200, b'{"name": "cut'),
        http_answer(200, b"\xff\xfe\x00"),
        http_answer(204, b""),
        http_answer(404, HTML),
        http_answer(409, b"{}"),
        http_answer(302, b"", "Location: http://evil.example/"),
        http_answer(304, b""),
    ],
)
def test_what_is_not_the_services_answer_is_told_as_such(open_talk, answer):
    """Above all, a page that says 404 does not mean that a job is gone."""
    with RawServer(lambda *_: answer) as server, pytest.raises(UnexpectedAnswerError) as refused:
        open_talk(server.url).send(calls.get_job(JOB), ONCE)
    assert f"GET /v1/{JOB}" in refused.value.message
    assert refused.value.http_status == int(answer.split()[1])


OPERATION = f"{JOB}/operations/7"
OTHER_JSON = [
    [],
    None,
    "text",
    {},
    {"error": {"code": 500, "message": "Internal."}},
    {"jobState": "JOB_STATE_SUCCEEDED", "done": True},
    {"name": None, "jobState": None},
    {"name": 5},
    {"name": ""},
    {"name": "5"},
    {"name": "7"},
    {"name": JOB.replace("/5", "/6"), "jobState": "JOB_STATE_SUCCEEDED"},
    {"name": f"{JOB}/operations/8", "done": True},
]
OTHER_ITEMS = [{}, "", 0, {"name": JOB}, "text", *([item] for item in (None, 5, {}, {"name": None}, []))]
PAGES = [
    (calls.list_jobs(PARENT), "notebookExecutionJobs"),
    (list_glimpses(PARENT), "notebookExecutionJobs"),
    (calls.list_operations(JOB), "operations"),
]


@pytest.mark.parametrize(
    ("call", "answer"),
    [
        *((call, answer) for call in (calls.get_job(JOB), get_glimpse(JOB)) for answer in OTHER_JSON),
        *((calls.get_operation(OPERATION), answer) for answer in OTHER_JSON),
        *((calls.delete_job(JOB), answer) for answer in OTHER_JSON if answer != OTHER_JSON[-1]),
        *((call, {key: items}) for call, key in PAGES for items in OTHER_ITEMS),
        *((call, page) for call, _ in PAGES for page in ([], None, OTHER_JSON[4], {"nextPageToken": 5})),
    ],
)
def test_other_json_than_was_asked_for_is_told_as_such(open_talk, call, answer):
    """A job without a name would be one that goes on, and its name the one to ask for next."""
    body = json.dumps(answer).encode()
    with RawServer(lambda *_: http_answer(200, body)) as server, pytest.raises(UnexpectedAnswerError) as refused:
        open_talk(server.url).send(call, ONCE)
    assert body.decode()[:20] in refused.value.message


@pytest.mark.parametrize("state", [{}, {"jobState": None}, {"jobState": ""}, {"jobState": 3}, {"jobState": []}])
def test_a_job_without_a_state_is_one_of_which_it_is_not_known(open_talk, state):
    """The service leaves out what has its first value."""
    body = json.dumps({"name": JOB.replace("projects/p/", "projects/123/"), **state}).encode()
    with RawServer(lambda *_: http_answer(200, body)) as server:
        talk = open_talk(server.url)
        assert talk.send(calls.get_job(JOB), ONCE).job_state is JobState.UNSPECIFIED
        assert talk.send(get_glimpse(JOB), ONCE) == ("5", "", None)


@pytest.mark.parametrize(
    ("status", "kind"), [(200, UnexpectedAnswerError), (404, UnexpectedAnswerError), (502, UnavailableError)]
)
@pytest.mark.parametrize(
    "answer",
    [
        *((HTML + b"\xc3\xff", f"Content-Type: text/html; charset={charset}") for charset in CHARSETS),
        *((body, "Content-Type: application/json") for body in (DEEP, b'{"error":' + DEEP, b'{"a":' * 100_000)),
    ],
    ids=lambda answer: answer[1][-9:] + str(len(answer[0])),
)
def test_what_cannot_be_read_at_all_is_told_as_the_status_has_it(open_talk, status, kind, answer):
    """Python says of such texts and such JSON whatever it likes."""
    body, header = answer
    with RawServer(lambda *_: http_answer(status, body, header)) as server, pytest.raises(kind) as refused:
        open_talk(server.url).send(calls.get_job(JOB), ONCE)
    assert refused.value.http_status == status
    assert body[:20].decode() in refused.value.message
    assert refused.value.is_transient


@pytest.mark.parametrize(
    "answer",
    [
        http_answer(200, b'{"name"', length=500),
        http_answer(200, b"not gzip", "Content-Encoding: gzip"),
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\n",
        b"nonsense\r\n\r\n",
        b"",
    ],
)
def test_an_answer_that_breaks_off_is_no_answer(open_talk, answer):
    with RawServer(lambda *_: answer) as server, pytest.raises(TransportError, match="got no answer") as refused:
        open_talk(server.url).send(calls.get_job(JOB), ONCE)
    assert refused.value.was_sent
    assert refused.value.http_status is None


def test_a_connection_that_is_refused_sent_nothing(open_talk):
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))  # bound and not listening
        with pytest.raises(TransportError) as refused:
            open_talk(f"http://127.0.0.1:{held.getsockname()[1]}").send(calls.get_job(JOB), ONCE)
    assert not refused.value.was_sent
    assert "`nbjobs emulator`" in refused.value.message


def test_an_answer_that_does_not_come_is_a_timeout(open_talk):
    with RawServer(lambda *_: None) as server, pytest.raises(TransportError) as refused:
        open_talk(server.url).send(calls.get_job(JOB), Patience(tries=1, seconds=5, timeout=0.1))
    assert refused.value.was_sent
    assert "timed out" in refused.value.message or "Timeout" in refused.value.message


def test_a_refusal_without_words_shows_what_came(open_talk):
    with RawServer(lambda *_: http_answer(503, HTML)) as server, pytest.raises(UnavailableError) as refused:
        open_talk(server.url).send(calls.get_job(JOB), ONCE)
    assert "<!DOCTYPE html>" in refused.value.message
    assert refused.value.status == ""


@given(st.text("0123456789abcdefgh ,:;+-GMTSunNov²٣", max_size=40) | st.from_regex(r"[0-9]{1,400}", fullmatch=True))
@example("²")
@example("Sun, 22 Nov 99999999999999999999 10:00:00 GMT")
@example("-5")
@example("")
def test_whatever_retry_after_says_is_a_number_of_seconds_or_nothing(text):
    headers = {"retry-after": text.encode()}
    with pytest.raises(UnavailableError) as refused:
        read_answer(
            calls.get_job(JOB), httpx2.Response(503, headers=headers, request=httpx2.Request("GET", "http://x"))
        )
    assert refused.value.retry_after is None or refused.value.retry_after >= 0


def test_retry_after_is_read_as_seconds_and_as_a_date():
    def asked(text: str) -> float:
        with pytest.raises(UnavailableError) as refused:
            read_answer(
                calls.get_job(JOB),
                httpx2.Response(503, headers={"retry-after": text}, request=httpx2.Request("GET", "http://x")),
            )
        return refused.value.retry_after

    now = datetime.now(UTC)
    assert asked(" 120 ") == 120
    assert 50 < asked(format_datetime(now + timedelta(seconds=60), usegmt=True)) <= 60
    assert asked(format_datetime(now - timedelta(days=1), usegmt=True)) == 0
    assert 50 < asked(format_datetime(now.replace(tzinfo=None) + timedelta(seconds=60))) <= 60


def test_a_job_is_read_as_the_service_has_it(talk, where, a_job):
    operation = talk.send(calls.create_job(where, a_job))
    name = operation.name.partition("/operations/")[0]
    job = talk.send(calls.get_job(name))
    assert job.name == name
    assert job.display_name == a_job.display_name
    assert job.job_state in (JobState.QUEUED, JobState.PENDING, JobState.RUNNING, JobState.SUCCEEDED)
    assert job.create_time <= job.update_time

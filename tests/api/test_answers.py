"""Every answer, and the lack of one, becomes a value or one of our errors."""

from __future__ import annotations

import json
import pickle
import socket
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import httpx
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
from airflow_nbjobs.watch.updates import get_update, list_updates
from tests.support.raw_server import JOB, OPERATION, PARENT, http_answer, refusal, refused

ONCE = Patience(tries=1, seconds=5, timeout=5)
GET = calls.get_job(JOB)
STATUSES = {
    400: exceptions.InvalidArgumentError,
    401: exceptions.UnauthenticatedError,
    403: exceptions.PermissionDeniedError,
    404: exceptions.NotFoundError,
    **dict.fromkeys((408, 500, 502, 503, 504, 599), exceptions.UnavailableError),
    409: exceptions.FailedPreconditionError,
    418: exceptions.InvalidArgumentError,
    429: exceptions.RateLimitedError,
    501: exceptions.NotImplementedByServiceError,
}
TRANSIENT = {
    exceptions.UnavailableError,
    exceptions.RateLimitedError,
    exceptions.TransportError,
    exceptions.UnexpectedAnswerError,
    exceptions.AbortedError,
}


@pytest.mark.parametrize("status", STATUSES)
def test_an_error_has_its_statuss_type_and_the_services_words(talk, emulator, status):
    emulator.fault({"method": "get", "status": status, "message": "The reason why.", "retry_after": 7})
    with pytest.raises(ApiError) as failure:
        talk.send(GET, ONCE)
    error = failure.value
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
def test_the_canonical_name_decides_if_a_status_is_ambiguous(serve, status, name, kind):
    details = [{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "R"}]
    talk, _ = serve(refused(status, name, details=details))
    with pytest.raises(kind) as failure:
        talk.send(GET, ONCE)
    assert (failure.value.status, failure.value.details) == (name, tuple(details))
    twin = pickle.loads(pickle.dumps(failure.value))  # noqa: S301 - our own bytes
    assert (type(twin), str(twin), vars(twin)) == (kind, str(failure.value), vars(failure.value))


@pytest.mark.parametrize(
    ("status", "message", "kind"),
    [
        (409, "It exists.", exceptions.AlreadyExistsError),
        (429, "Quota 'CPUS' exceeded. Limit: 24.0", exceptions.NoCapacityError),
    ],
)
def test_only_a_create_meets_a_taken_id_or_missing_machines(talk, emulator, status, message, kind):
    emulator.fault({"method": "create", "status": status, "message": message})
    emulator.fault({"method": "get", "status": status, "message": message})
    creating = calls.create_job(PARENT, NotebookExecutionJob(gcs_output_uri="gs://results/runs"))
    with pytest.raises(kind):
        talk.send(creating, ONCE)
    with pytest.raises(ApiError) as failure:
        talk.send(GET, ONCE)
    assert type(failure.value) in {exceptions.FailedPreconditionError, exceptions.RateLimitedError}


def test_an_error_in_a_list_is_read_too(serve):
    talk, _ = serve(http_answer(404, b"[" + refusal(404, "NOT_FOUND") + b"]"))
    with pytest.raises(NotFoundError, match="said so"):
        talk.send(GET, ONCE)


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
def test_an_answer_of_something_else_is_unexpected(serve, answer):
    """Above all, an HTML page with status 404 does not mean that a job is gone."""
    talk, _ = serve(answer)
    with pytest.raises(UnexpectedAnswerError) as failure:
        talk.send(GET, ONCE)
    assert f"GET /v1/{JOB}" in failure.value.message
    assert failure.value.http_status == int(answer.split()[1])


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
    (list_updates(PARENT), "notebookExecutionJobs"),
    (calls.list_operations(JOB), "operations"),
]


@pytest.mark.parametrize(
    ("call", "answer"),
    [
        *((call, answer) for call in (calls.get_job(JOB), get_update(JOB)) for answer in OTHER_JSON),
        *((calls.get_operation(OPERATION), answer) for answer in OTHER_JSON),
        *((calls.delete_job(JOB), answer) for answer in OTHER_JSON if answer != OTHER_JSON[-1]),
        *((call, {key: items}) for call, key in PAGES for items in OTHER_ITEMS),
        *((call, page) for call, _ in PAGES for page in ([], None, OTHER_JSON[4], {"nextPageToken": 5})),
    ],
)
def test_unrelated_json_is_unexpected(serve, call, answer):
    """It would otherwise be read as a job that goes on."""
    talk, _ = serve(http_answer(200, answer))
    with pytest.raises(UnexpectedAnswerError) as failure:
        talk.send(call, ONCE)
    assert json.dumps(answer)[:20] in failure.value.message


@pytest.mark.parametrize("state", [{}, {"jobState": None}, {"jobState": ""}, {"jobState": 3}, {"jobState": []}])
def test_a_job_without_a_state_is_in_state_unspecified(serve, state):
    """The service leaves out fields with their first value."""
    talk, _ = serve(http_answer(200, {"name": JOB.replace("projects/p/", "projects/123/"), **state}))
    assert talk.send(GET, ONCE).job_state is JobState.UNSPECIFIED
    assert talk.send(get_update(JOB), ONCE)[:3] == ("5", "", None)


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
def test_an_unreadable_answer_is_judged_by_its_status(serve, status, kind, answer):
    """Python raises various errors for such texts and such JSON."""
    body, header = answer
    talk, _ = serve(http_answer(status, body, header))
    with pytest.raises(kind) as failure:
        talk.send(GET, ONCE)
    assert failure.value.http_status == status
    assert body[:20].decode() in failure.value.message
    assert failure.value.is_transient


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
def test_an_incomplete_answer_is_a_transport_error(serve, answer):
    talk, _ = serve(answer)
    with pytest.raises(TransportError, match="got no answer") as failure:
        talk.send(GET, ONCE)
    assert failure.value.was_sent
    assert failure.value.http_status is None


def test_a_connection_that_is_refused_sent_nothing(open_talk):
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))  # bound and not listening
        with pytest.raises(TransportError) as failure:
            open_talk(f"http://127.0.0.1:{held.getsockname()[1]}").send(GET, ONCE)
    assert not failure.value.was_sent
    assert "`nbjobs emulator`" in failure.value.message


def test_an_answer_that_does_not_come_is_a_timeout(serve):
    talk, _ = serve(None)
    with pytest.raises(TransportError, match=r"timed out|Timeout") as failure:
        talk.send(GET, Patience(tries=1, seconds=5, timeout=0.1))
    assert failure.value.was_sent


def test_an_error_without_a_message_quotes_the_answer(serve):
    talk, _ = serve(http_answer(503, HTML))
    with pytest.raises(UnavailableError, match="<!DOCTYPE html>") as failure:
        talk.send(GET, ONCE)
    assert failure.value.status == ""


def retry_after(text: str | bytes) -> float | None:
    request = httpx.Request("GET", "http://x")
    with pytest.raises(UnavailableError) as failure:
        read_answer(GET, httpx.Response(503, headers={"retry-after": text}, request=request))
    return failure.value.retry_after


@given(st.text("0123456789abcdefgh ,:;+-GMTSunNov²٣", max_size=40) | st.from_regex(r"[0-9]{1,400}", fullmatch=True))
@example("²")
@example("Sun, 22 Nov 99999999999999999999 10:00:00 GMT")
@example("-5")
@example("")
def test_any_retry_after_is_seconds_or_none(text):
    seconds = retry_after(text.encode())
    assert seconds is None or seconds >= 0


def test_retry_after_is_read_as_seconds_and_as_a_date():
    now = datetime.now(UTC)
    assert retry_after(" 120 ") == 120
    assert 3600 < retry_after(format_datetime(now + timedelta(hours=2), usegmt=True)) <= 7200
    assert retry_after(format_datetime(now - timedelta(days=1), usegmt=True)) == 0
    assert 3600 < retry_after(format_datetime(now.replace(tzinfo=None) + timedelta(hours=2))) <= 7200


def test_a_job_is_read_as_the_service_has_it(talk, where, a_job):
    operation = talk.send(calls.create_job(where, a_job))
    name = operation.name.partition("/operations/")[0]
    job = talk.send(calls.get_job(name))
    assert job.name == name
    assert job.display_name == a_job.display_name
    assert job.job_state in (JobState.QUEUED, JobState.PENDING, JobState.RUNNING, JobState.SUCCEEDED)
    assert job.create_time <= job.update_time

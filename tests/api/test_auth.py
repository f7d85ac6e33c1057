"""Tokens: refreshed once for all requests, once more after a 401, and sent nowhere else."""

from __future__ import annotations

import asyncio
import json
import threading
from dataclasses import replace
from datetime import timedelta
from types import SimpleNamespace

import pytest
from google.auth import _helpers, compute_engine, impersonated_credentials
from google.auth.credentials import AnonymousCredentials, Credentials
from google.auth.exceptions import DefaultCredentialsError, InvalidValue, RefreshError, TransportError
from google.oauth2 import credentials as oauth2

from airflow_nbjobs import exceptions
from airflow_nbjobs.api import calls
from airflow_nbjobs.api.auth import retry_auth
from airflow_nbjobs.api.client import AsyncClient
from airflow_nbjobs.api.endpoint import Endpoint
from airflow_nbjobs.api.job import DirectNotebookSource
from airflow_nbjobs.api.pacing import STARTING, Patience
from airflow_nbjobs.exceptions import CredentialsError
from tests.support.canaries import MARK, TOKEN, shows_canary
from tests.support.credentials import CountedCredentials
from tests.support.raw_server import CREATED, FOUND, JOB, PARENT, RawServer, http_answer, refusal, refused

DENIED = refused(401, "UNAUTHENTICATED")
GET = calls.get_job(JOB)
FIRST, SECOND = f"Bearer {TOKEN}-1", f"Bearer {TOKEN}-2"


def tokens(server: RawServer) -> list[str]:
    lines = [line for request in server.requests for line in request.splitlines()]
    return [line.partition(":")[2].strip() for line in lines if line.lower().startswith("authorization:")]


def found_with(token: str):
    return lambda request: FOUND if token in request else DENIED


@pytest.mark.parametrize("left", [timedelta(days=-1), timedelta(minutes=1)], ids=["over", "almost over"])
def test_a_token_is_kept_until_it_expires(serve, left):
    """google-auth refreshes it some minutes early."""
    credentials = CountedCredentials()
    talk, server = serve(FOUND, credentials=credentials)
    talk.send(GET)
    credentials.expiry = _helpers.utcnow() + timedelta(hours=1)
    talk.send(GET)
    credentials.expiry = _helpers.utcnow() + left
    talk.send(GET)
    assert tokens(server) == [FIRST, FIRST, SECOND]


def test_a_401_refreshes_the_token_once(serve):
    talk, server = serve(found_with("token-2"), credentials=CountedCredentials())
    talk.send(GET)
    assert tokens(server) == [FIRST, SECOND]


def test_a_second_401_is_final(serve):
    credentials = CountedCredentials()
    talk, server = serve(DENIED, credentials=credentials)
    with pytest.raises(exceptions.UnauthenticatedError, match="said so"):
        talk.send(GET)
    assert (len(server.requests), credentials.refreshes) == (2, 2)


def test_a_create_is_sent_again_whole_after_a_401(serve, a_job):
    talk, server = serve(DENIED, CREATED, credentials=CountedCredentials())
    talk.send(calls.create_job(PARENT, a_job))
    assert tokens(server) == [FIRST, SECOND]
    assert [json.loads(request.partition("\n\n")[2]) for request in server.requests] == [a_job.to_request()] * 2


@pytest.mark.parametrize("good", ["token", "token-2"], ids=["first", "after a 401"])
def test_fifty_requests_share_one_refresh(good):
    credentials = CountedCredentials()

    async def ask(url: str) -> None:
        async with AsyncClient(Endpoint(url, is_trusted=True), credentials) as client:
            await asyncio.gather(*(client.send(GET) for _ in range(50)))

    with RawServer(lambda request, _: found_with(good)(request)) as server:
        asyncio.run(ask(server.url))
        last = credentials.refreshes
        assert tokens(server).count(f"Bearer {TOKEN}-{last}") == 50
    assert last == (1 if good == "token" else 2)
    assert threading.main_thread().name not in credentials.threads


def test_credentials_work_on_one_event_loop_after_another():
    """The lock of a refresh waits on the loop that uses it."""
    credentials = CountedCredentials()

    async def ask(url: str) -> None:
        async with AsyncClient(Endpoint(url, is_trusted=True), credentials) as client:
            await asyncio.gather(*(client.send(GET) for _ in range(5)))

    with RawServer(lambda *_: FOUND) as server:
        for _ in range(2):
            credentials.token = None
            asyncio.run(ask(server.url))
    assert credentials.refreshes == 2


@pytest.mark.parametrize("failure", [TransportError("no route"), RefreshError("503", retryable=True)])
def test_a_transient_failure_of_a_refresh_is_retried(serve, failure):
    talk, server = serve(FOUND, credentials=CountedCredentials(failure, failure))
    assert talk.send(GET).name == JOB
    assert (len(server.requests), len(talk.slept)) == (1, 2)


def test_a_create_is_retried_until_there_is_a_token(serve, a_job):
    talk, server = serve(CREATED, credentials=CountedCredentials(TransportError("no route")))
    talk.send(calls.create_job(PARENT, a_job))
    assert len(server.requests) == 1


def test_a_final_failure_of_a_refresh_is_not_retried(serve):
    talk, server = serve(FOUND, credentials=CountedCredentials(RefreshError("invalid_grant: account not found")))
    with pytest.raises(CredentialsError, match="invalid_grant: account not found") as failure:
        talk.send(GET)
    assert (server.requests, talk.slept, failure.value.is_transient) == ([], [], False)


def test_refreshes_are_bounded(serve):
    credentials = CountedCredentials(*[TransportError("no route")] * 9)
    talk, _ = serve(FOUND, credentials=credentials)
    with pytest.raises(CredentialsError) as failure:
        talk.send(GET, Patience(tries=3))
    assert failure.value.is_transient
    assert len(credentials.failures) == 6


def impersonation(answers: RawServer) -> Credentials:
    """Return google-auth's own credentials of an impersonated account, whose tokens come from a test's server."""
    email = "runner@p.iam.gserviceaccount.com"
    return impersonated_credentials.Credentials(
        CountedCredentials(), email, ["scope"], iam_endpoint_override=f"{answers.url}/v1/{email}:generateAccessToken"
    )


def person(answers: RawServer) -> Credentials:
    """Return google-auth's own credentials of a person, whose tokens come from a test's server."""
    known = {"refresh_token": "r", "token_uri": answers.url, "client_id": "1", "client_secret": "s"}
    return oauth2.Credentials(None, **known)


TOKENS = http_answer(
    200,
    {"access_token": TOKEN, "expires_in": 3600, "accessToken": TOKEN, "expireTime": "2099-01-01T00:00:00Z"},
)
OTHER_TOKENS = [
    b"<html>Sign in</html>",
    b"\xff",
    b"[" * 100_000,
    *(
        json.dumps(answer).encode()
        for answer in (
            [],
            None,
            "text",
            {},
            {"id_token": TOKEN},
            {"accessToken": TOKEN, "expireTime": "some day"},
            {"access_token": None},
            {"access_token": [TOKEN]},
            {"access_token": ""},
            {"access_token": f"{TOKEN}\n"},
            {"access_token": TOKEN, "expires_in": "soon"},
            {"access_token": TOKEN, "expires_in": [TOKEN]},
            {"access_token": TOKEN, "expires_in": 1e300},
        )
    ),
]


@pytest.mark.parametrize(
    "failed",
    [*(refused(status, "ANY") for status in (503, 500, 429)), http_answer(502, b"<html>Bad gateway</html>")],
    ids=["503", "500", "429", "HTML"],
)
def test_a_transient_failure_of_an_impersonation_is_retried(serve, failed):
    """google-auth marks it as final."""
    _, iam = serve(failed, failed, TOKENS)
    talk, server = serve(FOUND, credentials=impersonation(iam))
    assert talk.send(GET).name == JOB
    assert (len(iam.requests), len(server.requests)) == (3, 1)


@pytest.mark.parametrize("answer", OTHER_TOKENS, ids=lambda answer: answer.decode(errors="replace")[:40])
@pytest.mark.parametrize("kind", [person, impersonation])
def test_an_answer_without_a_token_is_retried(serve, kind, answer):
    """A refusal is never a 200: a proxy, or a starting server, has answered."""
    other = http_answer(200, answer)
    _, issuer = serve(other, other, TOKENS, other)
    talk, server = serve(FOUND, credentials=kind(issuer))
    assert talk.send(GET).name == JOB
    assert (len(issuer.requests), len(server.requests)) == (3, 1)
    renewed, _ = serve(FOUND, credentials=kind(issuer))
    with pytest.raises(CredentialsError) as failure:
        renewed.send(GET, Patience(tries=1))
    assert failure.value.is_transient
    assert (failure.value.__cause__, failure.value.__context__) == (None, None)  # which a log would show


@pytest.mark.parametrize(
    ("kind", "status", "answer"),
    [
        (person, 400, {"error": "invalid_grant", "error_description": "said so", "id_token": TOKEN}),
        (
            impersonation,
            403,
            {"error": {"status": "PERMISSION_DENIED", "message": "said so", "token": TOKEN}, "accessToken": TOKEN},
        ),
    ],
)
def test_a_refusal_of_the_token_service_is_final_and_quoted(serve, kind, status, answer):
    """The canaries see that its token is not."""
    _, issuer = serve(http_answer(status, answer))
    talk, server = serve(FOUND, credentials=kind(issuer))
    with pytest.raises(CredentialsError, match="said so") as failure:
        talk.send(GET)
    assert str(failure.value).count("said so") == 1
    assert not failure.value.is_transient
    assert (len(issuer.requests), len(server.requests)) == (1, 0)


def test_an_unreadable_refusal_of_the_token_service_is_an_error(serve):
    _, iam = serve(http_answer(500, b"[" * 100_000))
    talk, _ = serve(FOUND, credentials=impersonation(iam))
    with pytest.raises(CredentialsError, match="No access token for"):
        talk.send(GET, Patience(tries=1))


@pytest.mark.parametrize(
    ("answered", "is_transient"),
    [
        (TransportError("no route"), True),
        (TransportError("Status: 503", SimpleNamespace(status=503)), True),
        (TransportError("Status: 404", SimpleNamespace(status=404)), False),
        (RefreshError("The account is disabled."), False),
        ({}, True),
    ],
)
def test_a_metadata_server_is_asked_again_if_it_may_help(serve, monkeypatch, answered, is_transient):
    """google-auth's own tries, which take some seconds, are left out."""

    def answer(*_, **__):
        if isinstance(answered, Exception):
            raise answered
        return answered

    monkeypatch.setattr(compute_engine._metadata, "get", answer)
    talk, _ = serve(FOUND, credentials=compute_engine.Credentials())
    with pytest.raises(CredentialsError) as failure:
        talk.send(GET, Patience(tries=3))
    assert failure.value.is_transient == is_transient
    assert len(talk.slept) == (2 if is_transient else 0)


@pytest.mark.parametrize(
    ("error", "is_transient", "words"),
    [
        (FileNotFoundError(2, "No such file", "/keys/a.json"), False, "No such file: '/keys/a.json'"),
        (TransportError(ConnectionError("no route to host")), True, "no route to host"),
        (DefaultCredentialsError("Your default credentials were not found."), True, "airflow connections add google"),
        (ValueError("No key."), False, "No key."),
        (InvalidValue("No URL."), False, "could not be made"),
    ],
)
def test_credentials_that_cannot_be_made_say_why(monkeypatch, error, is_transient, words):
    monkeypatch.setattr("airflow_nbjobs.api.auth.backoff", lambda _: 0.0)
    tries = []

    def make():
        tries.append(None)
        raise error

    with pytest.raises(CredentialsError, match=words) as failure:
        retry_auth(make)
    assert (failure.value.is_transient, len(tries)) == (is_transient, STARTING.tries if is_transient else 1)
    assert (failure.value.__cause__, failure.value.__context__) == (None, None)


def test_an_untrusted_endpoint_gets_no_token(serve, open_talk):
    credentials = CountedCredentials()
    _, server = serve(FOUND)
    open_talk(server.url, credentials).send(GET)
    assert (tokens(server), credentials.refreshes) == ([], 0)


def test_anonymous_credentials_send_no_token(serve):
    talk, server = serve(FOUND, credentials=AnonymousCredentials())
    talk.send(GET)
    assert tokens(server) == []


def test_the_quota_project_is_sent_with_the_token(serve):
    credentials = CountedCredentials()
    credentials._quota_project_id = "payer"
    talk, server = serve(FOUND, credentials=credentials)
    talk.send(GET)
    assert "x-goog-user-project: payer" in server.requests[0].lower()


SILENT = {"nobody": None, "cut": b"", "no HTTP": b"nonsense\r\n\r\n", "cut short": http_answer(200, b"{", length=99)}


@pytest.mark.parametrize("answer", [*SILENT.values(), refused(400, "INVALID_ARGUMENT")], ids=[*SILENT, "400"])
def test_a_token_is_in_no_error_of_a_request(serve, answer):
    """The canaries look at each error, and at what was logged of it."""
    talk, server = serve(answer, credentials=CountedCredentials())
    with pytest.raises(
        (exceptions.TransportError, exceptions.InvalidArgumentError), match=r"got no answer|said so"
    ) as failure:
        talk.send(GET, Patience(tries=2, timeout=0.2))
    assert "token-1" not in f"{failure.value!r} {vars(failure.value)}"
    assert set(tokens(server)) == {FIRST}


@pytest.mark.parametrize("status", [200, 400, 404, 409, 413, 429, 500, 503, None])
def test_a_notebook_is_in_no_error_of_its_create(serve, a_job, status):
    """The canaries look for it as it is, and in base64."""
    notebook = json.dumps({"cells": [{"cell_type": "code", "source": f"# {MARK}"}]}).encode()
    job = replace(a_job, gcs_notebook_source=None, direct_notebook_source=DirectNotebookSource(content=notebook))
    answer = status and http_answer(status, refusal(status, "ANY") if status > 200 else b"{}")
    talk, server = serve(answer, credentials=CountedCredentials())
    with pytest.raises(exceptions.ApiError):
        talk.send(calls.create_job(PARENT, job), Patience(tries=2, timeout=0.2, queueing=20.0))
    assert shows_canary(server.requests[0].partition("\n\n")[2])

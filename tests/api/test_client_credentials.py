"""Tokens: refreshed once for all who wait, once more when the service says 401, and sent nowhere else."""

from __future__ import annotations

import asyncio
import json
import threading
from dataclasses import replace
from datetime import datetime, timedelta
from types import SimpleNamespace

import google.auth.exceptions
import pytest
from google.auth import compute_engine, impersonated_credentials
from google.auth.credentials import AnonymousCredentials, Credentials
from google.oauth2 import credentials as oauth2

from airflow_nbjobs.api import calls
from airflow_nbjobs.api.client import AsyncClient
from airflow_nbjobs.api.endpoint import Endpoint
from airflow_nbjobs.api.job import DirectNotebookSource
from airflow_nbjobs.api.pacing import Patience
from airflow_nbjobs.exceptions import ApiError, CredentialsError, TransportError, UnauthenticatedError
from tests.support.canaries import MARK, TOKEN, shows_canary
from tests.support.credentials import JOB, CountedCredentials
from tests.support.raw_server import RawServer, http_answer, refusal

GOOD = http_answer(200, json.dumps({"name": JOB}).encode())
DENIED = http_answer(401, refusal(401, "UNAUTHENTICATED"))


def tokens(server: RawServer) -> list[str]:
    lines = [line for request in server.requests for line in request.splitlines()]
    return [line.partition(":")[2].strip() for line in lines if line.lower().startswith("authorization:")]


def test_a_token_is_had_before_the_first_request_and_kept(open_talk):
    credentials = CountedCredentials()
    with RawServer(lambda *_: GOOD) as server:
        talk = open_talk(server.url, credentials, is_trusted=True)
        talk.send(calls.get_job(JOB))
        talk.send(calls.get_job(JOB))
        assert tokens(server) == [f"Bearer {TOKEN}-1"] * 2
    assert credentials.refreshes == 1


def test_a_token_that_expired_is_refreshed(open_talk):
    credentials = CountedCredentials()
    with RawServer(lambda *_: GOOD) as server:
        talk = open_talk(server.url, credentials, is_trusted=True)
        talk.send(calls.get_job(JOB))
        credentials.expiry = datetime(2020, 1, 1)  # noqa: DTZ001 - google-auth's expiry is naive UTC
        talk.send(calls.get_job(JOB))
        assert tokens(server) == [f"Bearer {TOKEN}-1", f"Bearer {TOKEN}-2"]


def test_a_401_refreshes_the_token_once(open_talk):
    credentials = CountedCredentials()
    with RawServer(lambda request, _: GOOD if "token-2" in request else DENIED) as server:
        open_talk(server.url, credentials, is_trusted=True).send(calls.get_job(JOB))
        assert tokens(server) == [f"Bearer {TOKEN}-1", f"Bearer {TOKEN}-2"]


def test_a_second_401_is_final(open_talk):
    credentials = CountedCredentials()
    with RawServer(lambda *_: DENIED) as server:
        talk = open_talk(server.url, credentials, is_trusted=True)
        with pytest.raises(UnauthenticatedError, match="said so"):
            talk.send(calls.get_job(JOB))
        assert len(server.requests) == 2
    assert credentials.refreshes == 2


def test_a_create_that_was_refused_with_401_is_sent_again_whole(open_talk, a_job):
    created = http_answer(200, json.dumps({"name": f"{JOB}/operations/1"}).encode())
    with RawServer(lambda request, _: created if "token-2" in request else DENIED) as server:
        talk = open_talk(server.url, CountedCredentials(), is_trusted=True)
        talk.send(calls.create_job("projects/p/locations/us-central1", a_job))
        bodies = [json.loads(request.partition("\n\n")[2]) for request in server.requests]
    assert bodies == [a_job.to_request()] * 2


def test_fifty_requests_share_one_refresh():
    credentials = CountedCredentials()

    async def ask(url: str) -> None:
        async with AsyncClient(Endpoint(url, is_trusted=True), credentials) as client:
            await asyncio.gather(*(client.send(calls.get_job(JOB)) for _ in range(50)))

    with RawServer(lambda *_: GOOD) as server:
        asyncio.run(ask(server.url))
        assert tokens(server) == [f"Bearer {TOKEN}-1"] * 50
    assert credentials.refreshes == 1
    assert threading.main_thread().name not in credentials.threads


def test_fifty_requests_that_were_refused_share_one_refresh():
    credentials = CountedCredentials()

    async def ask(url: str) -> None:
        async with AsyncClient(Endpoint(url, is_trusted=True), credentials) as client:
            await asyncio.gather(*(client.send(calls.get_job(JOB)) for _ in range(50)))

    with RawServer(lambda request, _: DENIED if "token-1" in request else GOOD) as server:
        asyncio.run(ask(server.url))
        assert tokens(server).count(f"Bearer {TOKEN}-2") == 50
    assert credentials.refreshes == 2


def test_a_client_made_on_one_loop_works_on_the_next():
    """Its lock waits on the loop that uses it."""
    credentials = CountedCredentials()
    with RawServer(lambda *_: GOOD) as server:
        for _ in range(2):

            async def ask() -> None:
                async with AsyncClient(Endpoint(server.url, is_trusted=True), credentials) as client:
                    await asyncio.gather(*(client.send(calls.get_job(JOB)) for _ in range(5)))

            credentials.token = None
            asyncio.run(ask())
    assert credentials.refreshes == 2


@pytest.mark.parametrize(
    "failure",
    [
        google.auth.exceptions.TransportError("no route"),
        google.auth.exceptions.RefreshError("503", retryable=True),
    ],
)
def test_a_refresh_that_failed_in_passing_is_tried_again(open_talk, failure):
    credentials = CountedCredentials(failure, failure)
    with RawServer(lambda *_: GOOD) as server:
        talk = open_talk(server.url, credentials, is_trusted=True)
        assert talk.send(calls.get_job(JOB)).name == JOB
        assert len(server.requests) == 1
    assert len(talk.slept) == 2


def impersonation(answers: RawServer) -> Credentials:
    """Return google-auth's own credentials of an impersonated account, whose tokens come from here."""
    email = "runner@p.iam.gserviceaccount.com"
    return impersonated_credentials.Credentials(
        CountedCredentials(), email, ["scope"], iam_endpoint_override=f"{answers.url}/v1/{email}:generateAccessToken"
    )


TOKENS = http_answer(200, json.dumps({"accessToken": TOKEN, "expireTime": "2099-01-01T00:00:00Z"}).encode())


@pytest.mark.parametrize(
    "failed",
    [
        http_answer(503, refusal(503, "UNAVAILABLE")),
        http_answer(500, refusal(500, "INTERNAL")),
        http_answer(429, refusal(429, "RESOURCE_EXHAUSTED")),
        http_answer(502, b"<html>Bad gateway</html>"),
    ],
)
def test_an_impersonation_that_failed_in_passing_is_tried_again(open_talk, failed):
    """What google-auth makes of it is final by its own account."""
    with RawServer(lambda *_: GOOD) as server, RawServer(lambda _, n: TOKENS if n > 1 else failed) as iam:
        talk = open_talk(server.url, impersonation(iam), is_trusted=True)
        assert talk.send(calls.get_job(JOB)).name == JOB
        assert (len(iam.requests), len(server.requests)) == (3, 1)


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


@pytest.mark.parametrize("answer", OTHER_TOKENS, ids=lambda answer: answer.decode(errors="replace")[:40])
@pytest.mark.parametrize("kind", ["person", "impersonated"])
def test_an_answer_that_is_no_token_is_none_for_now(open_talk, kind, answer):
    """Nobody refuses a token with 200: a proxy, or a server that is being started, has answered."""
    good = {"access_token": TOKEN, "expires_in": 3600}, {"accessToken": TOKEN, "expireTime": "2099-01-01T00:00:00Z"}
    good = http_answer(200, json.dumps(good[0] | good[1]).encode())
    answers = lambda _, number: good if number == 2 else http_answer(200, answer)  # noqa: E731 - it is one
    with RawServer(lambda *_: GOOD) as server, RawServer(answers) as issuer:
        talk = open_talk(server.url, person(issuer) if kind == "person" else impersonation(issuer), is_trusted=True)
        assert talk.send(calls.get_job(JOB)).name == JOB
        assert (len(issuer.requests), len(server.requests)) == (3, 1)
        renewed = person(issuer) if kind == "person" else impersonation(issuer)
        with pytest.raises(CredentialsError) as refused:
            open_talk(server.url, renewed, is_trusted=True).send(calls.get_job(JOB), Patience(tries=1))
    assert refused.value.is_transient
    assert (refused.value.__cause__, refused.value.__context__) == (None, None)  # which a log would show


def person(answers: RawServer) -> Credentials:
    """Return google-auth's own credentials of a person, whose tokens come from here."""
    known = {"refresh_token": "r", "token_uri": answers.url, "client_id": "1", "client_secret": "s"}
    return oauth2.Credentials(None, **known)


@pytest.mark.parametrize(
    ("status", "answer"),
    [
        (400, {"error": "invalid_grant", "error_description": "said so", "id_token": TOKEN}),
        (403, {"error": {"status": "PERMISSION_DENIED", "message": "said so", "token": TOKEN}, "accessToken": TOKEN}),
    ],
)
def test_what_a_token_service_says_is_told_without_what_it_gives(open_talk, status, answer):
    answered = http_answer(status, json.dumps(answer).encode())
    with RawServer(lambda *_: GOOD) as server, RawServer(lambda *_: answered) as issuer:
        credentials = person(issuer) if status == 400 else impersonation(issuer)
        with pytest.raises(CredentialsError, match="said so") as refused:
            open_talk(server.url, credentials, is_trusted=True).send(calls.get_job(JOB))
    assert str(refused.value).count("said so") == 1
    assert not refused.value.is_transient


def test_an_impersonation_that_is_not_permitted_is_told_at_once(open_talk):
    denied = http_answer(403, refusal(403, "PERMISSION_DENIED"))
    with RawServer(lambda *_: GOOD) as server, RawServer(lambda *_: denied) as iam:
        talk = open_talk(server.url, impersonation(iam), is_trusted=True)
        with pytest.raises(CredentialsError, match="said so") as refused:
            talk.send(calls.get_job(JOB))
        assert (len(iam.requests), len(server.requests)) == (1, 0)
    assert not refused.value.is_transient


@pytest.mark.parametrize(
    ("answered", "is_transient"),
    [
        (google.auth.exceptions.TransportError("no route"), True),
        (google.auth.exceptions.TransportError("Status: 503", SimpleNamespace(status=503)), True),
        (google.auth.exceptions.TransportError("Status: 404", SimpleNamespace(status=404)), False),
        (google.auth.exceptions.RefreshError("The account is disabled."), False),
        ({}, True),
    ],
)
def test_a_metadata_server_that_is_down_is_asked_again(open_talk, monkeypatch, answered, is_transient):
    """Its own tries, which take some seconds, are left out."""

    def answer(*_, **__):
        if isinstance(answered, Exception):
            raise answered
        return answered

    monkeypatch.setattr(compute_engine._metadata, "get", answer)
    with RawServer(lambda *_: GOOD) as server:
        talk = open_talk(server.url, compute_engine.Credentials(), is_trusted=True)
        with pytest.raises(CredentialsError) as refused:
            talk.send(calls.get_job(JOB), Patience(tries=3))
    assert refused.value.is_transient == is_transient
    assert len(talk.slept) == (2 if is_transient else 0)


def test_a_create_waits_for_its_token_too(open_talk, a_job):
    credentials = CountedCredentials(google.auth.exceptions.TransportError("no route"))
    created = http_answer(200, json.dumps({"name": f"{JOB}/operations/1"}).encode())
    with RawServer(lambda *_: created) as server:
        talk = open_talk(server.url, credentials, is_trusted=True)
        talk.send(calls.create_job("projects/p/locations/us-central1", a_job))
        assert len(server.requests) == 1


def test_a_refresh_that_failed_for_good_is_told_at_once(open_talk):
    credentials = CountedCredentials(google.auth.exceptions.RefreshError("invalid_grant: account not found"))
    with RawServer(lambda *_: GOOD) as server:
        talk = open_talk(server.url, credentials, is_trusted=True)
        with pytest.raises(CredentialsError, match="invalid_grant: account not found") as refused:
            talk.send(calls.get_job(JOB))
        assert server.requests == []
    assert not refused.value.is_transient
    assert talk.slept == []


def test_refreshes_are_bounded(open_talk):
    credentials = CountedCredentials(*[google.auth.exceptions.TransportError("no route")] * 9)
    with RawServer(lambda *_: GOOD) as server:
        talk = open_talk(server.url, credentials, is_trusted=True)
        with pytest.raises(CredentialsError) as refused:
            talk.send(calls.get_job(JOB), Patience(tries=3))
    assert refused.value.is_transient
    assert len(credentials.failures) == 6


def test_an_endpoint_that_is_not_trusted_sees_no_token(open_talk):
    credentials = CountedCredentials()
    with RawServer(lambda *_: GOOD) as server:
        open_talk(server.url, credentials).send(calls.get_job(JOB))
        assert tokens(server) == []
    assert credentials.refreshes == 0


def test_anonymous_credentials_send_no_token(open_talk):
    with RawServer(lambda *_: GOOD) as server:
        open_talk(server.url, AnonymousCredentials(), is_trusted=True).send(calls.get_job(JOB))
        assert tokens(server) == []


def test_the_quota_project_goes_with_the_token(open_talk):
    credentials = CountedCredentials()
    credentials._quota_project_id = "payer"
    with RawServer(lambda *_: GOOD) as server:
        open_talk(server.url, credentials, is_trusted=True).send(calls.get_job(JOB))
        assert "x-goog-user-project: payer" in server.requests[0].lower()


def test_a_token_is_in_no_error(open_talk):
    with RawServer(lambda *_: http_answer(400, refusal(400, "INVALID_ARGUMENT"))) as server:
        talk = open_talk(server.url, CountedCredentials(), is_trusted=True)
        with pytest.raises(Exception, match="said so") as refused:
            talk.send(calls.get_job(JOB))
    assert "token-1" not in f"{refused.value!r} {vars(refused.value)}"


SILENT = {"nobody": None, "cut": b"", "no HTTP": b"nonsense\r\n\r\n", "cut short": http_answer(200, b"{", length=99)}


@pytest.mark.parametrize("answer", SILENT.values(), ids=SILENT)
def test_a_token_is_in_no_error_of_a_request_without_an_answer(open_talk, answer):
    """The canaries look at each error, and at what was logged of it."""
    with RawServer(lambda *_: answer) as server:
        talk = open_talk(server.url, CountedCredentials(), is_trusted=True)
        with pytest.raises(TransportError, match="got no answer"):
            talk.send(calls.get_job(JOB), Patience(tries=2, timeout=0.2))
        assert tokens(server) == [f"Bearer {TOKEN}-1"] * 2


@pytest.mark.parametrize("status", [200, 400, 404, 409, 413, 429, 500, 503, None])
def test_a_notebook_is_in_no_error_of_the_create_that_it_was_sent_with(open_talk, a_job, status):
    """The canaries look for it as it is, and in base64."""
    notebook = json.dumps({"cells": [{"cell_type": "code", "source": f"# {MARK}"}]}).encode()
    impatient = Patience(tries=2, timeout=0.2, queueing=20.0)
    job = replace(a_job, gcs_notebook_source=None, direct_notebook_source=DirectNotebookSource(content=notebook))
    answer = None if status is None else http_answer(status, refusal(status, "ANY") if status > 200 else b"{}")
    with RawServer(lambda *_: answer) as server:
        talk = open_talk(server.url, CountedCredentials(), is_trusted=True)
        with pytest.raises(ApiError):
            talk.send(calls.create_job("projects/p/locations/us-central1", job), impatient)
        assert shows_canary(server.requests[0].partition("\n\n")[2])


def test_an_hour_of_polls_refreshes_when_the_token_runs_out(open_talk):
    class HourLong(CountedCredentials):
        def refresh(self, request):
            super().refresh(request)
            self.expiry = google.auth._helpers.utcnow() + timedelta(hours=1)

    credentials = HourLong()
    with RawServer(lambda *_: GOOD) as server:
        talk = open_talk(server.url, credentials, is_trusted=True)
        talk.send(calls.get_job(JOB))
        talk.send(calls.get_job(JOB))
        credentials.expiry -= timedelta(minutes=59)  # google-auth refreshes some minutes early
        talk.send(calls.get_job(JOB))
        assert tokens(server) == [f"Bearer {TOKEN}-1", f"Bearer {TOKEN}-1", f"Bearer {TOKEN}-2"]

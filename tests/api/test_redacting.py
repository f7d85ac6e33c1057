"""Secrets are removed from texts, and all other words are kept."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from airflow_nbjobs.api import calls
from airflow_nbjobs.api.endpoint import Endpoint
from airflow_nbjobs.api.pacing import Patience
from airflow_nbjobs.api.redacting import redacted
from airflow_nbjobs.exceptions import ApiError, InvalidNotebookJobError, NotFoundError
from tests.support.canaries import MARK, TOKEN, shows_canary
from tests.support.credentials import CountedCredentials
from tests.support.raw_server import JOB, http_answer, refused

LONG = f"{MARK}-{'0123456789' * 8}"


@pytest.mark.parametrize(
    "text",
    [
        f'{{"accessToken": "{MARK}", "kept": 1}} kept',
        f"('No access token in response.', {{'id_token': '{MARK}', 'kept': 1}}) kept",
        json.dumps(json.dumps({"refresh_token": MARK, "kept": 1})) + " kept",
        f"kept: Authorization: Bearer {LONG}",
        f"kept: authorization: basic {LONG}==",
        f"POST grant_type=kept&assertion={LONG}&kept=1",
        f"https://kept.example/?access_token={LONG}&kept=1",
        f"http://user:{MARK}@kept.example/",
        f'{{"client_secret":"{MARK}\\"{MARK}", "kept": 1}}',
        f"-----BEGIN RSA PRIVATE KEY-----\n{MARK}\n{MARK}\n-----END RSA PRIVATE KEY----- kept"[:-5] + '"kept"',
        f"kept ya29.{LONG}",
        f"kept eyJ{LONG}.eyJ{LONG}.{LONG}",
    ],
)
def test_secrets_are_removed_by_name_and_by_form(text: str) -> None:
    assert not shows_canary(redacted(text))
    assert "kept" in redacted(text)


@pytest.mark.parametrize(
    "text",
    [
        "Request had invalid authentication credentials. Expected OAuth 2 access token, login cookie or other.",
        "invalid_grant: Token has been expired or revoked.",
        "Permission denied on robot@p.iam.gserviceaccount.com: see https://cloud.google.com/iam/docs#token",
        "The secret 'password' was not found. Bearer token: none.",
        '{"error": {"code": 404, "message": "Job 5 was not found.", "status": "NOT_FOUND"}}',
    ],
)
def test_other_words_are_kept(text: str) -> None:
    assert redacted(text) == text


@pytest.mark.parametrize(
    "piece", ["0123456789abcdef", "token", "private_key", "secret-", "A", "//", "Bearer ", "\\\\", "eyJ"]
)
@pytest.mark.parametrize("end", ["", '": "x', "="])
def test_the_time_grows_with_the_length_only(piece: str, end: str) -> None:
    """A triggerer's other tasks wait in the meantime. Quadratic time would be 100 times as long."""
    times = []
    for length in (20_000, 200_000):
        text = piece * (length // len(piece)) + end
        begun = time.process_time()
        redacted(text)
        times.append(time.process_time() - begun)
    assert times[1] < max(1.0, 40 * times[0])


@pytest.mark.parametrize(
    ("message", "details"),
    [
        ("Job with {'token': 'abc is not there", []),
        ('Unknown: {"password": "abc', []),
        ("plain", [{"password": "c:\\"}]),
        ("plain", [{"token": 'a"}, {"a": "b'}, {"a": ["b"] * 3}]),
    ],
)
def test_an_error_of_the_service_keeps_its_form(serve: Any, message: str, details: list[Any]) -> None:
    talk, _ = serve(refused(404, "NOT_FOUND", message=message, details=details), credentials=CountedCredentials())
    with pytest.raises(NotFoundError) as failure:
        talk.send(calls.get_job(JOB), Patience(tries=1))
    assert len(failure.value.details) == len(details)
    assert all("***" in str(detail) for detail in failure.value.details[:1])


@pytest.mark.parametrize("status", [200, 302, 400, 404, 502])
@pytest.mark.parametrize("shape", ["{}", "<html>{}</html>", '{{"error": {{"message": "Sent were {}"}}}}', "{{{}"])
def test_an_answer_that_repeats_the_request_shows_no_token(serve: Any, status: int, shape: str) -> None:
    def repeat(request: str) -> bytes:
        sent = "; ".join(request.splitlines())
        token = request.lower().partition("bearer ")[2].split()[0]
        return http_answer(status, shape.format(f"{sent} {token}").encode(), f"Location: /?{token}")

    talk, _ = serve(repeat, credentials=CountedCredentials())
    with pytest.raises(ApiError) as failure:
        talk.send(calls.get_job(JOB), Patience(tries=1))
    assert TOKEN not in f"{failure.value!r} {vars(failure.value)}"


@pytest.mark.parametrize(
    "address",
    [
        f"https://user:{MARK}@x.googleapis.com",
        f"https://user:{MARK}/{MARK}@x.googleapis.com",
        f"https://{MARK}@x.googleapis.com:port",
        f"https://user:{MARK}@{MARK}@x.googleapis.com/v1",
        f"user:{MARK}@x.googleapis.com",
    ],
)
def test_an_address_with_a_password_is_refused_without_it(address: str) -> None:
    for make in (lambda: Endpoint.of_location("us-central1", address), lambda: Endpoint.of_emulator(address)):
        with pytest.raises(InvalidNotebookJobError, match=r"\*\*\*@x\.googleapis\.com.* is not the address") as failure:
            make()
        assert MARK not in str(failure.value)

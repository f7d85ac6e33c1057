"""What others say is repeated without the secrets in it, and with the rest of its words."""

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
from tests.support.credentials import JOB, CountedCredentials
from tests.support.raw_server import RawServer, http_answer

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
def test_what_is_a_secret_by_its_name_or_its_looks_is_left_out(text: str) -> None:
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
def test_a_long_text_is_gone_through_in_a_time_that_grows_with_its_length(piece: str, end: str) -> None:
    """Nothing else has its turn meanwhile, neither a triggerer's other tasks nor the clock of a kill."""
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
def test_an_error_of_the_services_stays_that_error(open_talk: Any, message: str, details: list[Any]) -> None:
    told = {"error": {"code": 404, "message": message, "status": "NOT_FOUND", "details": details}}
    with RawServer(lambda *_: http_answer(404, json.dumps(told).encode())) as server:
        talk = open_talk(server.url, CountedCredentials(), is_trusted=True)
        with pytest.raises(NotFoundError) as refused:
            talk.send(calls.get_job(JOB), Patience(tries=1))
    assert len(refused.value.details) == len(details)
    assert all("***" in str(detail) for detail in refused.value.details[:1])


@pytest.mark.parametrize("status", [200, 302, 400, 404, 502])
@pytest.mark.parametrize("shape", ["{}", "<html>{}</html>", '{{"error": {{"message": "Sent were {}"}}}}', "{{{}"])
def test_a_page_that_repeats_the_request_shows_no_token(open_talk: Any, status: int, shape: str) -> None:
    def repeat(request: str, _: int) -> bytes:
        sent = "; ".join(request.splitlines())
        token = request.lower().partition("bearer ")[2].split()[0]
        return http_answer(status, shape.format(f"{sent} {token}").encode(), f"Location: /?{token}")

    with RawServer(repeat) as server:
        talk = open_talk(server.url, CountedCredentials(), is_trusted=True)
        with pytest.raises(ApiError) as refused:
            talk.send(calls.get_job(JOB), Patience(tries=1))
    assert TOKEN not in f"{refused.value!r} {vars(refused.value)}"


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
        with pytest.raises(InvalidNotebookJobError, match=r"\*\*\*@x\.googleapis\.com.* is not the address") as refused:
            make()
        assert MARK not in str(refused.value)

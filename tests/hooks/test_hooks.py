"""The hooks: which credentials a connection means, and that a token reaches nobody but whom it may."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from google.auth import impersonated_credentials
from google.auth.exceptions import DefaultCredentialsError
from google.oauth2 import service_account

from airflow_nbjobs.api import calls
from airflow_nbjobs.api.pacing import STARTING
from airflow_nbjobs.exceptions import CredentialsError, UnauthenticatedError, UnexpectedAnswerError
from airflow_nbjobs.hooks import NotebookExecutionJobAsyncHook, NotebookExecutionJobHook
from tests.support.canaries import TOKEN
from tests.support.cloud import Cloud
from tests.support.google_lookalike import EMAIL, JOB, NAME, Answer, Server
from tests.support.waiting import until


def look(hook: NotebookExecutionJobHook) -> str:
    """Get a job with the sync hook."""
    try:
        return hook.get_job(NAME).job_state.word
    finally:
        hook.close()


def look_async(endpoint: str | None = None) -> str:
    """Get a job with the async hook."""

    async def get() -> str:
        hook = NotebookExecutionJobAsyncHook(endpoint=endpoint)
        try:
            return (await hook.send("us-central1", calls.get_job(NAME))).job_state.word
        finally:
            await hook.close()

    return asyncio.run(get())


BOTH = pytest.mark.parametrize("get", [lambda: look(NotebookExecutionJobHook()), look_async], ids=["sync", "async"])


@BOTH
@pytest.mark.parametrize("kind", ["key file", "key", "application default"])
def test_a_key_is_turned_into_a_token(
    connect: Callable[..., Any], google: Callable[..., Server], tokens: Server, get: Callable[[], str], kind: str
) -> None:
    connect(kind)
    service = google()
    assert get() == "RUNNING"
    assert service.tokens == [f"Bearer {TOKEN}-1"]
    assert len(tokens.seen) == 1


def test_one_token_serves_many_requests(
    connect: Callable[..., Any], google: Callable[..., Server], tokens: Server
) -> None:
    connect()
    service, hook = google(), NotebookExecutionJobHook()
    for _ in range(5):
        hook.get_job(NAME)
    hook.close()
    assert service.tokens == [f"Bearer {TOKEN}-1"] * 5
    assert len(tokens.seen) == 1


def test_a_token_that_has_expired_is_renewed(
    connect: Callable[..., Any], google: Callable[..., Server], tokens: Server
) -> None:
    connect()
    service, hook = google(), NotebookExecutionJobHook()
    hook.get_job(NAME)
    hook.get_credentials_and_project_id()[0].expiry = None  # without one, a token counts as fresh
    hook.get_job(NAME)
    now = datetime.now(UTC).replace(tzinfo=None)  # google-auth's own are naive
    hook.get_credentials_and_project_id()[0].expiry = now - timedelta(seconds=1)
    hook.get_job(NAME)
    hook.close()
    assert service.tokens == [f"Bearer {TOKEN}-1", f"Bearer {TOKEN}-1", f"Bearer {TOKEN}-2"]


@BOTH
def test_a_refused_token_is_renewed_once(
    connect: Callable[..., Any], google: Callable[..., Server], tokens: Server, get: Callable[[], str]
) -> None:
    connect()
    service = google(lambda number: (401, {}, {"error": {"message": "Stale."}}) if number == 1 else JOB)
    assert get() == "RUNNING"
    assert service.tokens == [f"Bearer {TOKEN}-1", f"Bearer {TOKEN}-2"]


@BOTH
def test_a_token_that_is_refused_twice_is_an_error(
    connect: Callable[..., Any], google: Callable[..., Server], tokens: Server, get: Callable[[], str]
) -> None:
    connect()
    google((401, {}, {"error": {"code": 401, "message": "Not you.", "status": "UNAUTHENTICATED"}}))
    with pytest.raises(UnauthenticatedError, match=r"401 UNAUTHENTICATED: Not you\."):
        get()
    assert len(tokens.seen) == 2


def test_a_key_that_the_token_endpoint_refuses_is_an_error(
    connect: Callable[..., Any], google: Callable[..., Server], serve: Callable[..., Server], private_key: str
) -> None:
    key = connect()
    refusing = serve((400, {}, {"error": "invalid_grant", "error_description": "Account disabled."}))
    connect(keyfile_dict=json.dumps({**key, "token_uri": refusing.url}))
    service = google()
    with pytest.raises(CredentialsError, match=r"Account disabled\.") as failure:
        look(NotebookExecutionJobHook())
    assert private_key not in str(failure.value)
    assert service.seen == []


@BOTH
def test_a_redirect_is_not_followed(
    connect: Callable[..., Any],
    google: Callable[..., Server],
    serve: Callable[..., Server],
    tokens: Server,
    get: Callable[[], str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("airflow_nbjobs.api.retries.backoff", lambda *_: 0.0)
    connect()
    thief = serve(JOB)
    google((307, {"Location": thief.url}, {}))
    with pytest.raises(UnexpectedAnswerError, match=r"redirected .* not followed"):
        get()
    assert thief.seen == []


@BOTH
@pytest.mark.parametrize("tls", [True, False], ids=["https", "http"])
def test_an_endpoint_that_nobody_allowed_gets_no_token(
    connect: Callable[..., Any],
    serve: Callable[..., Server],
    tokens: Server,
    monkeypatch: pytest.MonkeyPatch,
    get: Callable[[], str],
    tls: bool,
) -> None:
    connect()
    stranger = serve(JOB, tls=tls)
    monkeypatch.setenv("AIRFLOW__NBJOBS__ENDPOINT", stranger.url)
    if not tls:  # an http address is not trusted even where it is allowed
        monkeypatch.setenv("AIRFLOW__NBJOBS__ALLOWED_ENDPOINTS", stranger.url)
    assert get() == "RUNNING"
    assert stranger.tokens == [None]
    assert tokens.seen == []


def test_an_endpoint_given_in_code_is_no_more_trusted(
    connect: Callable[..., Any], serve: Callable[..., Server], tokens: Server
) -> None:
    connect()
    stranger = serve(JOB, tls=True)
    assert look(NotebookExecutionJobHook(endpoint=stranger.url)) == look_async(stranger.url) == "RUNNING"
    assert stranger.tokens == [None, None]
    assert tokens.seen == []


@BOTH
def test_the_emulator_wins_over_every_other_address(
    connect: Callable[..., Any],
    google: Callable[..., Server],
    tokens: Server,
    cloud: Cloud,
    get: Callable[[], str],
) -> None:
    connect()
    service = google()
    with pytest.raises(Exception, match="404 NOT_FOUND"):
        get()
    assert (service.seen, tokens.seen) == ([], [])
    assert cloud.requests()["get"] == {"404": 1}


@BOTH
def test_an_anonymous_connection_sends_no_token(
    connect: Callable[..., Any], google: Callable[..., Server], tokens: Server, get: Callable[[], str]
) -> None:
    connect("anonymous")
    service = google()
    assert get() == "RUNNING"
    assert service.tokens == [None]


def test_an_impersonation_chain_ends_in_its_last_account(connect: Callable[..., Any]) -> None:
    connect()
    chain = ["first@p.iam.gserviceaccount.com", "last@p.iam.gserviceaccount.com"]
    hook = NotebookExecutionJobHook(impersonation_chain=chain)
    credentials = hook.get_credentials_and_project_id()[0]
    assert isinstance(credentials, impersonated_credentials.Credentials)
    assert credentials.service_account_email == hook.service_account_email() == chain[-1]
    assert isinstance(credentials._source_credentials, service_account.Credentials)
    assert credentials._source_credentials.service_account_email == EMAIL
    assert credentials._delegates == chain[:1]


def test_the_token_of_the_impersonated_account_is_sent(
    connect: Callable[..., Any], google: Callable[..., Server], serve: Callable[..., Server], tokens: Server
) -> None:
    connect()
    ends = f"{datetime.now(UTC) + timedelta(hours=1):%Y-%m-%dT%H:%M:%SZ}"
    iam = serve((200, {}, {"accessToken": f"{TOKEN}-impersonated", "expireTime": ends}))
    service, hook = google(), NotebookExecutionJobHook(impersonation_chain="last@p.iam.gserviceaccount.com")
    hook.get_credentials_and_project_id()[0]._iam_endpoint_override = iam.url  # no connection can name another one
    assert look(hook) == "RUNNING"
    assert iam.tokens == [f"Bearer {TOKEN}-1"]
    assert service.tokens == [f"Bearer {TOKEN}-impersonated"]


def test_the_account_of_a_key_is_known_without_a_request(connect: Callable[..., Any], tokens: Server) -> None:
    connect()
    assert NotebookExecutionJobHook().service_account_email() == EMAIL
    assert tokens.seen == []


def test_the_project_is_the_argument_s_or_the_connection_s(
    connect: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    connect()
    assert NotebookExecutionJobHook().parent("l") == "projects/p/locations/l"
    assert NotebookExecutionJobHook().parent("l", "q") == "projects/q/locations/l"
    connect(project="r")
    assert NotebookExecutionJobHook().parent("l") == "projects/r/locations/l"


def test_the_project_on_an_emulator_needs_no_connection(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOOGLE_CLOUD_PROJECT", "from-the-environment")
    assert NotebookExecutionJobHook().parent("l") == "projects/from-the-environment/locations/l"
    monkeypatch.delenv("GOOGLE_CLOUD_PROJECT")
    assert NotebookExecutionJobHook("never_heard_of").parent("l") == "projects/local/locations/l"


def test_without_an_emulator_a_missing_connection_is_an_error() -> None:
    with pytest.raises(Exception, match="never_heard_of"):
        NotebookExecutionJobHook("never_heard_of")
    with pytest.raises(Exception, match="never_heard_of"):
        asyncio.run(NotebookExecutionJobAsyncHook("never_heard_of").client("us-central1"))


async def test_concurrent_calls_share_connection_client_and_token(
    connect: Callable[..., Any], google: Callable[..., Server], tokens: Server
) -> None:
    connect()
    service = google()
    hook = NotebookExecutionJobAsyncHook()
    jobs = await asyncio.gather(*(hook.send("us-central1", calls.get_job(NAME)) for _ in range(20)))
    assert await hook.get_sync_hook() is await hook.get_sync_hook()
    await hook.close()
    assert [job.job_state.word for job in jobs] == ["RUNNING"] * 20
    assert len(tokens.seen) == 1
    assert service.tokens == [f"Bearer {TOKEN}-1"] * 20


async def test_the_event_loop_is_never_blocked(
    connect: Callable[..., Any], google: Callable[..., Server], serve: Callable[..., Server]
) -> None:
    """The token comes when the loop has done something else meanwhile."""
    is_asked, goes_on = threading.Event(), threading.Event()

    def slow(_: int) -> Answer:
        is_asked.set()
        token = f"{TOKEN}-{'late' if goes_on.wait(60) else 'blocked'}"
        return 200, {}, {"access_token": token, "expires_in": 3600}

    key = connect()
    slow_tokens = serve(slow)
    connect(keyfile_dict=json.dumps({**key, "token_uri": slow_tokens.url}))
    service = google()

    async def something_else() -> None:
        await until(is_asked.is_set)
        goes_on.set()

    hook = NotebookExecutionJobAsyncHook()
    try:
        job, _ = await asyncio.gather(hook.send("us-central1", calls.get_job(NAME)), something_else())
    finally:
        await hook.close()
    assert job.job_state.word == "RUNNING"
    assert service.tokens == [f"Bearer {TOKEN}-late"]


def test_missing_credentials_are_reported_after_a_few_tries(
    connect: Callable[..., dict[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such a machine looks like one whose metadata server is slow to start."""
    connect("application default")
    monkeypatch.setattr("airflow_nbjobs.api.pacing._FIRST", 0.001)
    tries: list[None] = []

    def default(**_: Any) -> Any:
        tries.append(None)
        raise DefaultCredentialsError("Your default credentials were not found. To set up …")

    monkeypatch.setattr("google.auth.default", default)
    with pytest.raises(CredentialsError, match="could not be made: Your default credentials were not found") as failure:
        NotebookExecutionJobHook().client("us-central1")
    assert len(tries) == STARTING.tries
    assert STARTING.seconds <= 15
    assert failure.value.is_transient


@pytest.mark.parametrize("kind", ["no file", "no JSON", "no key", "another key"])
def test_a_key_that_is_none_is_told_at_once(
    connect: Callable[..., dict[str, str]], kind: str, private_key: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    contents = {"no JSON": private_key, "no key": "{}", "another key": json.dumps({"type": "service_account"})}
    if kind in contents:
        (tmp_path / "other.json").write_text(contents[kind])
    connect("key file", key_path=str(tmp_path / "other.json"))
    pauses: list[float] = []
    monkeypatch.setattr("time.sleep", pauses.append)
    with pytest.raises(CredentialsError, match="could not be made") as failure:
        NotebookExecutionJobHook().client("us-central1")
    connect("application default")
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "other.json"))
    with pytest.raises(CredentialsError, match="could not be made"):
        NotebookExecutionJobHook().client("us-central1")
    assert not failure.value.is_transient
    assert pauses == []

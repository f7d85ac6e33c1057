"""Google's credentials on requests: refreshed when they expire, and once more when the service answers 401."""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections.abc import AsyncGenerator, Callable, Generator, Mapping
from typing import Any, TypeVar

import httpx
from google.auth.credentials import Credentials, TokenState
from google.auth.exceptions import GoogleAuthError

from airflow_nbjobs.api.auth_errors import is_missing, is_transient, words_of
from airflow_nbjobs.api.pacing import STARTING, backoff
from airflow_nbjobs.exceptions import CredentialsError

__all__ = ["BearerAuth", "check_token", "retry_auth"]

T = TypeVar("T")

log = logging.getLogger(__name__)

_VALUE = re.compile(r"[!-~]+(?: [!-~]+)*")
"""A header's value. ``Bearer`` without a token does not match."""

_ADD_CONNECTION = (
    " Provide default credentials, or add a connection with a key: `airflow connections add google_cloud_default "
    '--conn-type google_cloud_platform --conn-extra \'{"key_path": "…"}\'`.'
)


class BearerAuth(httpx.Auth):
    """Adds a token to requests.

    :param credentials: of google-auth. On an event loop they are refreshed in a thread, by one request at a time. Their
        requests block but never go to Airflow: a thread is safe.
    """

    def __init__(self, credentials: Credentials) -> None:
        self._credentials = credentials
        self._refreshing = asyncio.Lock()

    def sync_auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """Send the request with a token, and again with a new one if the first is refused.

        :raises CredentialsError: when there is no access token.
        """
        _ask(lambda: self._sign(request))
        response = yield request
        if response.status_code == 401:
            _ask(lambda: self._renew(request))
            yield request

    async def async_auth_flow(self, request: httpx.Request) -> AsyncGenerator[httpx.Request, httpx.Response]:
        """Do the same without blocking the event loop."""
        if self._credentials.token_state == TokenState.FRESH:
            _ask(lambda: self._sign(request))
        else:
            async with self._refreshing:
                await asyncio.to_thread(_ask, lambda: self._sign(request))
        response = yield request
        if response.status_code == 401:
            async with self._refreshing:
                if request.headers.get("authorization") == f"Bearer {self._credentials.token}":
                    await asyncio.to_thread(_ask, lambda: self._renew(request))
                else:  # another request has refreshed it in the meantime
                    _ask(lambda: self._sign(request))
            yield request

    def _sign(self, request: httpx.Request) -> None:
        headers: dict[str, str] = {}
        try:
            # google-auth has no types here.
            self._credentials.before_request(_transport(), request.method, str(request.url), headers)  # type: ignore[no-untyped-call]
            _check(headers)
        except ValueError:
            self._credentials.token = None  # google-auth would keep it until it expires
            raise
        request.headers.update(headers)

    def _renew(self, request: httpx.Request) -> None:
        self._credentials.refresh(_transport())  # type: ignore[no-untyped-call]
        self._sign(request)


def check_token(credentials: Credentials) -> None:
    """Get a token for credentials of google-auth, and forget it.

    :raises CredentialsError: if no token can be obtained.
    """
    _ask(lambda: BearerAuth(credentials)._sign(httpx.Request("GET", "https://www.googleapis.com")))


def _check(headers: Mapping[str, str]) -> None:
    if not all(_VALUE.fullmatch(value) for value in headers.values()):
        raise ValueError("the token has characters that a header cannot carry")


def _transport() -> Any:
    # Imported here because it loads `requests`, which a task that waits on an emulator does not need.
    from google.auth.transport.requests import Request

    return Request()


def retry_auth(make: Callable[[], T]) -> T:
    """Create credentials with google-auth. Transient failures are retried for some seconds (``pacing.STARTING``).

    :param make: creates them; raises errors of google-auth or of Python.
    :returns: what ``make`` returns.
    :raises CredentialsError: when they cannot be created.
    """
    give_up_at = time.monotonic() + STARTING.seconds
    attempt = 0
    while True:
        attempt += 1
        try:
            return make()
        except (GoogleAuthError, OSError, ValueError) as error:
            words = words_of(error) + (_ADD_CONNECTION if is_missing(error) else "")
            # A ValueError is about the configuration, an OSError with a name about a file.
            is_network = isinstance(error, OSError) and not error.filename
            may_help = is_network or (is_transient(error) and not isinstance(error, ValueError))
        # Raised outside the except block, as in `_ask`.
        problem = CredentialsError(f"The connection's credentials could not be made: {words}", is_transient=may_help)
        pause = backoff(attempt)
        if not may_help or attempt == STARTING.tries or time.monotonic() + pause > give_up_at:
            raise problem
        log.warning("Trying again in %.1f s: %s", pause, problem)
        time.sleep(pause)


def _ask(work: Callable[[], None]) -> None:
    try:
        work()
    except GoogleAuthError as error:
        words, may_help = words_of(error), is_transient(error)
    except Exception as error:  # noqa: BLE001 - google-auth parses any answer as a token, which raises Python's errors
        # The error's message may hold the answer, and the answer a token.
        words, may_help = f"the token service sent an unexpected answer ({type(error).__name__})", True
    else:
        return
    # Raised outside the except block: logs show the cause and the context, and google-auth's may hold a token.
    raise CredentialsError(f"No access token for the connection's credentials: {words}", is_transient=may_help)

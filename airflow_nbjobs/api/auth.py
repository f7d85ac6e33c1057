"""Google's credentials on our requests: refreshed when they expire, and once more when the service says 401."""

from __future__ import annotations

import asyncio
import json
import logging
import re
from collections.abc import AsyncGenerator, Callable, Generator, Mapping, MutableMapping
from typing import Any, Protocol, TypeVar

import google.auth.exceptions
import httpx2
import tenacity
from google.auth.credentials import TokenState

from airflow_nbjobs.api.pacing import STARTING, backoff
from airflow_nbjobs.api.redacting import redacted
from airflow_nbjobs.exceptions import CredentialsError

__all__ = ["BearerAuth", "Credentials", "made"]

T = TypeVar("T")

log = logging.getLogger(__name__)

_VALUE = re.compile(r"[!-~]+(?: [!-~]+)*")
"""What may be a header's value; ``Bearer`` without a token is none."""


class Credentials(Protocol):
    """What is used of ``google.auth.credentials.Credentials``."""

    token: Any
    token_state: Any

    def before_request(self, request: Any, method: str, url: str, headers: MutableMapping[str, str]) -> None:
        """Add the token, refreshed if need be, and the quota project to ``headers``."""

    def refresh(self, request: Any) -> None:
        """Get a new token."""


class BearerAuth(httpx2.Auth):
    """Adds a token to requests.

    :param credentials: of google-auth. On an event loop they are refreshed in a thread, by one request at a time: they
        make blocking requests, but never one to Airflow, so a thread is safe for them.
    """

    def __init__(self, credentials: Credentials) -> None:
        self._credentials = credentials
        self._refreshing = asyncio.Lock()

    def sync_auth_flow(self, request: httpx2.Request) -> Generator[httpx2.Request, httpx2.Response, None]:
        """Send the request with a token, and again with a new one when the first is refused.

        :raises CredentialsError: when there is no token to be had.
        """
        _ask(lambda: self._sign(request))
        response = yield request
        if response.status_code == 401:
            _ask(lambda: self._renew(request))
            yield request

    async def async_auth_flow(self, request: httpx2.Request) -> AsyncGenerator[httpx2.Request, httpx2.Response]:
        """Do the same without blocking the event loop."""
        if self._credentials.token_state == TokenState.FRESH:
            _ask(lambda: self._sign(request))
        else:
            async with self._refreshing:
                await asyncio.to_thread(_ask, lambda: self._sign(request))
        response = yield request
        if response.status_code == 401:
            async with self._refreshing:
                if _bearer(request) == self._current():
                    await asyncio.to_thread(_ask, lambda: self._renew(request))
                else:  # another request has refreshed it meanwhile
                    _ask(lambda: self._sign(request))
            yield request

    def _sign(self, request: httpx2.Request) -> None:
        headers: dict[str, str] = {}
        try:
            self._credentials.before_request(_transport(), request.method, str(request.url), headers)
            _check(headers)
        except ValueError:
            self._credentials.token = None  # google-auth would keep what is none until it expires
            raise
        request.headers.update(headers)

    def _renew(self, request: httpx2.Request) -> None:
        self._credentials.refresh(_transport())
        self._sign(request)

    def _current(self) -> str:
        return f"Bearer {getattr(self._credentials, 'token', None)}"


def _bearer(request: httpx2.Request) -> str | None:
    return request.headers.get("authorization")


def _transport() -> Any:
    # Imported here since it brings `requests`, which nobody pays for who waits on an emulator.
    from google.auth.transport.requests import Request

    return Request()


def made(make: Callable[[], T]) -> T:
    """Return what ``make`` returns: credentials, or what they know of themselves when they were asked for it.

    It is tried for some seconds (:data:`~airflow_nbjobs.api.pacing.STARTING`), unless trying is of no use.

    :raises CredentialsError: when they cannot be made.
    """
    trying = tenacity.Retrying(
        retry=tenacity.retry_if_exception(lambda error: isinstance(error, CredentialsError) and error.is_transient),
        wait=lambda state: backoff(state.attempt_number),
        stop=tenacity.stop_after_attempt(STARTING.tries) | tenacity.stop_before_delay(STARTING.seconds),
        before_sleep=_log_failure,
        reraise=True,
    )
    result: T = trying(_made_once, make)
    return result


def _made_once(make: Callable[[], T]) -> T:
    try:
        return make()
    except (google.auth.exceptions.GoogleAuthError, OSError, ValueError) as error:
        words, is_transient = _words(error), _may_be_made(error)
    raise CredentialsError(f"The connection's credentials could not be made: {words}", is_transient=is_transient)


def _may_be_made(error: Exception) -> bool:
    """Tell whether credentials that could not be made may be made later."""
    if isinstance(error, google.auth.exceptions.DefaultCredentialsError):
        return "default credentials were not found" in str(error)  # the others are of files
    if isinstance(error, ValueError | FileNotFoundError | PermissionError | IsADirectoryError | NotADirectoryError):
        return False
    return isinstance(error, OSError) or _is_transient(error)


def _log_failure(state: tenacity.RetryCallState) -> None:
    error = state.outcome.exception() if state.outcome else None
    log.warning("Trying again in %.1f s: %s", state.upcoming_sleep, error)


def _check(headers: Mapping[str, str]) -> None:
    if not all(_VALUE.fullmatch(value) for value in headers.values()):
        raise ValueError("what was given as a token is none")


def _ask(work: Callable[[], None]) -> None:
    try:
        work()
    except google.auth.exceptions.GoogleAuthError as error:
        words, is_transient = _words(error), _is_transient(error)
    except Exception as error:  # noqa: BLE001 - google-auth reads any answer as a token's: what it raises then is Python's
        # Its words may hold the answer, and the answer a token.
        words, is_transient = f"the token service answered with something else ({type(error).__name__})", True
    else:
        return
    # Raised from nothing: logs show what an error was raised from, and google-auth's own may hold a token.
    raise CredentialsError(
        f"No access token could be had with the connection's credentials: {words}", is_transient=is_transient
    )


def _words(error: BaseException) -> str:
    """Return what an error of google-auth says, without the answers that it repeats: a token may be in them."""
    if isinstance(error, google.auth.exceptions.InvalidValue):
        return "what was given as a token is none"
    if isinstance(error, OSError) and error.filename:
        return redacted(f"{error.strerror}: {error.filename!r}")
    said: list[str] = []
    for part in map(_said, error.args):
        if part and not any(part in other for other in said):
            said.append(part)
    return "; ".join(said) or f"{type(error).__name__}, without words"


def _said(told: object) -> str:
    """Return a part of such an error; of an answer, what it has for people."""
    if isinstance(told, BaseException):
        return _words(told)
    if isinstance(told, str) and not told.lstrip().startswith(("{", "[", '"')):
        return " ".join(redacted(told[:5_000]).split())[:500]
    answer = _parsed(told) if isinstance(told, str) else told
    if not isinstance(answer, dict):
        return ""
    error = answer.get("error")
    parts = (error, answer.get("error_description"))
    if isinstance(error, dict):
        parts = (error.get("status"), error.get("message"))
    return redacted(": ".join(part for part in parts if isinstance(part, str)))[:500]


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


_NO_TOKEN = ("No access token", "Unexpected response")
"""What google-auth says, as if it were final, of a 200 that is no token: nobody refuses one in that way."""


def _is_transient(error: BaseException) -> bool:
    """Tell whether a token may be had later; google-auth wraps what has happened, and says of most that it is final.

    Seen in google-auth 2.62: a metadata server that is down, each refusal of an impersonation, and other JSON.
    """
    if getattr(error, "retryable", False) or isinstance(error, google.auth.exceptions.InvalidValue):
        return True
    if any(isinstance(told, str) and words in told for told in error.args for words in _NO_TOKEN):
        return True
    status = next((status for status in map(_status, error.args) if status is not None), None)
    if status is not None:
        return status in {408, 429} or status >= 500
    wrapped = (error.__cause__, error.__context__, *error.args)
    return isinstance(error, google.auth.exceptions.TransportError) or any(
        _is_transient(each) for each in wrapped if isinstance(each, Exception)
    )


def _status(told: object) -> int | None:
    """Return the HTTP status that a part of google-auth's error has: an answer, or the body of one."""
    if isinstance(told, str):
        if told.lstrip().startswith("<"):
            return 502  # a page: not the token service, but something before it has answered
        told = _parsed(told)
    error = told.get("error") if isinstance(told, dict) else None
    status = error.get("code") if isinstance(error, dict) else getattr(told, "status", None)
    return status if isinstance(status, int) else None

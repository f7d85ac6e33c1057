"""Google's credentials on our requests: refreshed when they expire, and once more when the service says 401."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Callable, Generator, MutableMapping
from typing import Any, Protocol

import google.auth.exceptions
import httpx2
from google.auth.credentials import TokenState

from airflow_nbjobs.exceptions import CredentialsError

__all__ = ["BearerAuth", "Credentials"]


class Credentials(Protocol):
    """What is used of ``google.auth.credentials.Credentials``."""

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
        """Send the request with a token, and again with a new one when the first is refused."""
        _ask(lambda: self._sign(request))
        response = yield request
        if response.status_code == 401:
            _ask(lambda: self._renew(request))
            yield request

    async def async_auth_flow(self, request: httpx2.Request) -> AsyncGenerator[httpx2.Request, httpx2.Response]:
        """Do the same without blocking the event loop."""
        if self._credentials.token_state == TokenState.FRESH:
            self._sign(request)
        else:
            async with self._refreshing:
                await asyncio.to_thread(_ask, lambda: self._sign(request))
        response = yield request
        if response.status_code == 401:
            async with self._refreshing:
                if _bearer(request) == self._current():
                    await asyncio.to_thread(_ask, lambda: self._renew(request))
                else:  # another request has refreshed it meanwhile
                    self._sign(request)
            yield request

    def _sign(self, request: httpx2.Request) -> None:
        headers: dict[str, str] = {}
        self._credentials.before_request(_transport(), request.method, str(request.url), headers)
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


def _ask(work: Callable[[], None]) -> None:
    try:
        work()
    except google.auth.exceptions.GoogleAuthError as error:
        raise CredentialsError(
            f"No access token could be had with the connection's credentials: {error}",
            is_transient=_is_transient(error),
        ) from error


def _is_transient(error: BaseException) -> bool:
    """Tell whether a token may be had later; google-auth wraps what has happened, and says of most that it is final.

    Seen in google-auth 2.62: a metadata server that is down, and each refusal of an impersonation.
    """
    if getattr(error, "retryable", False):
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
        try:
            told = json.loads(told)
        except ValueError:
            return None
    error = told.get("error") if isinstance(told, dict) else None
    status = error.get("code") if isinstance(error, dict) else getattr(told, "status", None)
    return status if isinstance(status, int) else None

"""Sending calls, in a thread (:class:`Client`) or on an event loop (:class:`AsyncClient`).

What a call is, how its answer is read, what is tried again and how long is defined once for both. Both can run a flow
(:mod:`airflow_nbjobs.api.flows`), so that logic of several calls needs no asynchronous copy.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import replace
from typing import Any, Self, TypeVar

import httpx2
import tenacity

from airflow_nbjobs import __version__
from airflow_nbjobs.api.answers import no_answer, read_answer
from airflow_nbjobs.api.auth import BearerAuth, Credentials
from airflow_nbjobs.api.calls import Call, Page
from airflow_nbjobs.api.endpoint import Endpoint
from airflow_nbjobs.api.flows import Flow, Sleep
from airflow_nbjobs.api.pacing import PATIENT, Patience, backoff, rest, turn
from airflow_nbjobs.api.quiet import quietly
from airflow_nbjobs.exceptions import ApiError, CredentialsError, NotFoundError, RateLimitedError, TransportError

__all__ = ["AsyncClient", "Client", "Flow", "Sleep"]

T = TypeVar("T")

_NEVER = float("inf")

log = logging.getLogger(__name__)


def _within(patience: Patience, seconds: float) -> Patience:
    """Return what is left of a patience when there are only so many seconds."""
    if seconds <= 0:
        raise TransportError("there was no time left to ask", was_sent=False)
    return replace(patience, seconds=min(patience.seconds, seconds), timeout=min(patience.timeout, seconds))


def _is_worth_another_try(call: Call[Any], error: BaseException) -> bool:
    if isinstance(error, CredentialsError):
        return error.is_transient
    if not isinstance(error, ApiError):
        return False
    if call.may_repeat:
        return error.is_transient
    # A create is only repeated when it is certain that it was not carried out.
    return isinstance(error, RateLimitedError) or (isinstance(error, TransportError) and not error.was_sent)


def _error(state: tenacity.RetryCallState) -> BaseException | None:
    return state.outcome.exception() if state.outcome else None


def _log_failure(state: tenacity.RetryCallState) -> None:
    log.warning("Trying again in %.1f s: %s", state.upcoming_sleep, _error(state))


def _retrying(call: Call[Any], patience: Patience) -> dict[str, Any]:
    # What is created has the narrowest quota by far.
    def queues(state: tenacity.RetryCallState) -> bool:
        return not call.may_repeat and isinstance(_error(state), RateLimitedError)

    def wait(state: tenacity.RetryCallState) -> float:
        pause, seconds = (turn, patience.queueing) if queues(state) else (backoff, patience.seconds)
        return pause(state.attempt_number, rest(getattr(_error(state), "retry_after", None), seconds))

    enough = tenacity.stop_after_attempt(patience.tries) | tenacity.stop_before_delay(patience.seconds)
    enough_queueing = tenacity.stop_before_delay(patience.queueing)
    return {
        "retry": tenacity.retry_if_exception(lambda error: _is_worth_another_try(call, error)),
        "wait": wait,
        "stop": lambda state: (enough_queueing if queues(state) else enough)(state),
        "before_sleep": _log_failure,
        "reraise": True,
    }


def _gone(call: Call[T], retrying: tenacity.BaseRetrying, error: NotFoundError) -> T:
    """Return what a repeated delete comes to that finds nothing: an earlier try did it, and its answer was lost."""
    if call.when_gone is None or retrying.statistics["attempt_number"] == 1:
        raise error
    return call.when_gone


def _options(endpoint: Endpoint, credentials: Credentials | None) -> dict[str, Any]:
    return {
        "base_url": endpoint.url,
        "auth": BearerAuth(credentials) if credentials is not None and endpoint.is_trusted else None,
        "headers": {"User-Agent": f"airflow-nbjobs/{__version__}", "Accept": "application/json"},
        "follow_redirects": False,
        "trust_env": not endpoint.is_loopback,
        # Reading the machine's certificates takes 20 to 50 ms, which plain HTTP has no use for.
        "verify": endpoint.url.startswith("https://"),
    }


def _request(call: Call[Any], patience: Patience) -> dict[str, Any]:
    kind = "content" if isinstance(call.body, bytes) else "json"
    return {
        "method": call.verb,
        "url": call.path,
        "params": dict(call.query),
        "headers": dict(call.headers),
        "timeout": httpx2.Timeout(patience.timeout, connect=min(10.0, patience.timeout)),
        **({} if call.body is None else {kind: call.body}),
    }


class Client:
    """Sends calls and waits for their answers.

    :param endpoint: where to. Credentials are used only when it is trusted.
    :param credentials: of google-auth; ``None`` sends no credentials.
    :param sleep: what waits between two tries; seconds.
    """

    def __init__(
        self, endpoint: Endpoint, credentials: Credentials | None, *, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self.endpoint = endpoint
        self._sleep = sleep
        self._http = httpx2.Client(**_options(endpoint, credentials))

    def send(self, call: Call[T], patience: Patience = PATIENT) -> T:
        """Send a call, as often as it needs and may be, and return its parsed answer.

        :raises ApiError: the last try's error.
        :raises CredentialsError: when there is no token to be had.
        """
        retrying = tenacity.Retrying(sleep=self._sleep, **_retrying(call, patience))
        try:
            answer: T = retrying(self._send_once, call, patience)
        except NotFoundError as error:
            return _gone(call, retrying, error)
        return answer

    def _send_once(self, call: Call[T], patience: Patience) -> T:
        call.check()
        try:
            with quietly():
                response = self._http.request(**_request(call, patience))
        except httpx2.HTTPError as error:
            raise no_answer(call, self.endpoint, error) from error
        return read_answer(call, response)

    def pages(self, call: Call[Page[T]], patience: Patience = PATIENT) -> Iterator[T]:
        """Yield the items of all pages. A page is requested when its first item is needed.

        :param call: the list call of the first page.
        :param patience: how long each page is tried.
        :raises ApiError: the last try's error.
        :raises CredentialsError: when there is no access token.
        """
        while True:
            page = self.send(call, patience)
            yield from page.items
            if not page.next_page_token:
                return
            call = call.with_page_token(page.next_page_token)

    def run_flow(self, flow: Flow[T], patience: Patience = PATIENT, *, until: float = _NEVER) -> T:
        """Run a flow to its end: send its calls, sleep its sleeps, and raise errors at its ``yield``.

        :param patience: how long each of its calls is tried.
        :param until: moment of :func:`time.monotonic` after which no call is sent; without one by default.
        :returns: what the flow returns.
        :raises ApiError: the last error of a call that the flow does not catch.
        :raises CredentialsError: when there is no access token.
        """
        answer: Any = None
        error: Exception | None = None
        while True:
            try:
                step = flow.send(answer) if error is None else flow.throw(error)
            except StopIteration as end:
                result: T = end.value
                return result
            answer = error = None
            try:
                if isinstance(step, Sleep):
                    self._sleep(step.seconds)
                else:
                    answer = self.send(step, _within(patience, until - time.monotonic()))
            except (ApiError, CredentialsError) as caught:
                error = caught

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def __enter__(self) -> Self:
        """Return the client, which is closed at the end of the block."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the connections."""
        self.close()


class AsyncClient:
    """:class:`Client` for an event loop, which it never blocks.

    :param endpoint: where to. Credentials are used only when it is trusted.
    :param credentials: of google-auth; ``None`` sends no credentials. They are refreshed in a thread.
    :param sleep: what waits between two tries; seconds.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        credentials: Credentials | None,
        *,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.endpoint = endpoint
        self._sleep = sleep
        self._http = httpx2.AsyncClient(**_options(endpoint, credentials))

    async def send(self, call: Call[T], patience: Patience = PATIENT) -> T:
        """Send a call, as often as it needs and may be, and return its parsed answer.

        :raises ApiError: the last try's error.
        :raises CredentialsError: when there is no token to be had.
        """
        retrying = tenacity.AsyncRetrying(sleep=self._sleep, **_retrying(call, patience))
        try:
            return await retrying(self._send_once, call, patience)
        except NotFoundError as error:
            return _gone(call, retrying, error)

    async def _send_once(self, call: Call[T], patience: Patience) -> T:
        call.check()
        try:
            with quietly():
                response = await self._http.request(**_request(call, patience))
        except httpx2.HTTPError as error:
            raise no_answer(call, self.endpoint, error) from error
        return read_answer(call, response)

    async def pages(self, call: Call[Page[T]], patience: Patience = PATIENT) -> AsyncIterator[T]:
        """Yield the items of all pages. A page is requested when its first item is needed.

        :param call: the list call of the first page.
        :param patience: how long each page is tried.
        :raises ApiError: the last try's error.
        :raises CredentialsError: when there is no access token.
        """
        while True:
            page = await self.send(call, patience)
            for item in page.items:
                yield item
            if not page.next_page_token:
                return
            call = call.with_page_token(page.next_page_token)

    async def run_flow(self, flow: Flow[T], patience: Patience = PATIENT) -> T:
        """Run a flow to its end: send its calls, sleep its sleeps, and raise errors at its ``yield``.

        :param patience: how long each of its calls is tried.
        :returns: what the flow returns.
        :raises ApiError: the last error of a call that the flow does not catch.
        :raises CredentialsError: when there is no access token.
        """
        answer: Any = None
        error: Exception | None = None
        while True:
            try:
                step = flow.send(answer) if error is None else flow.throw(error)
            except StopIteration as end:
                result: T = end.value
                return result
            answer = error = None
            try:
                if isinstance(step, Sleep):
                    await self._sleep(step.seconds)
                else:
                    answer = await self.send(step, patience)
            except (ApiError, CredentialsError) as caught:
                error = caught

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        """Return the client, which is closed at the end of the block."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close the connections."""
        await self.close()

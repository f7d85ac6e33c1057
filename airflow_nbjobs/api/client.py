"""Sending calls, in a thread (:class:`Client`) or on an event loop (:class:`AsyncClient`).

Calls, answers, retries and flows (:mod:`airflow_nbjobs.api.flows`) are defined once for both.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import replace
from typing import Any, Self, TypeVar

import httpx
from google.auth.credentials import Credentials

from airflow_nbjobs import __version__
from airflow_nbjobs.api.answers import no_answer, read_answer
from airflow_nbjobs.api.auth import BearerAuth
from airflow_nbjobs.api.calls import Call, Page
from airflow_nbjobs.api.endpoint import Endpoint
from airflow_nbjobs.api.flows import Flow, Sleep
from airflow_nbjobs.api.pacing import PATIENT, Patience
from airflow_nbjobs.api.quiet import quietly
from airflow_nbjobs.api.retries import retried
from airflow_nbjobs.exceptions import ApiError, CredentialsError, TransportError

__all__ = ["AsyncClient", "Client", "Flow", "Sleep"]

T = TypeVar("T")

_NEVER = float("inf")


def _limited(patience: Patience, seconds: float) -> Patience:
    """Limit a patience to the seconds that are left."""
    if seconds <= 0:
        raise TransportError("there was no time left to send the call", was_sent=False)
    return replace(patience, seconds=min(patience.seconds, seconds), timeout=min(patience.timeout, seconds))


def _options(endpoint: Endpoint, credentials: Credentials | None) -> dict[str, Any]:
    return {
        "base_url": endpoint.url,
        "auth": BearerAuth(credentials) if credentials is not None and endpoint.is_trusted else None,
        "headers": {"User-Agent": f"airflow-nbjobs/{__version__}", "Accept": "application/json"},
        "follow_redirects": False,
        "trust_env": not endpoint.is_loopback,
        # Loading the machine's certificates takes 20 to 50 ms, and plain HTTP does not need them.
        "verify": endpoint.url.startswith("https://"),
    }


def _request(call: Call[Any], patience: Patience) -> dict[str, Any]:
    kind = "content" if isinstance(call.body, bytes) else "json"
    return {
        "method": call.verb,
        "url": call.path,
        "params": dict(call.query),
        "headers": dict(call.headers),
        "timeout": httpx.Timeout(patience.timeout, connect=min(10.0, patience.timeout)),
        **({} if call.body is None else {kind: call.body}),
    }


class Client:
    """Sends calls and waits for their answers.

    :param endpoint: where to send them. Credentials are only used if it is trusted.
    :param credentials: of google-auth; ``None`` sends no credentials.
    :param sleep: waits between two tries; takes seconds.
    :param count: called after each request with its verb, and the status of its answer or ``None``.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        credentials: Credentials | None,
        *,
        sleep: Callable[[float], None] = time.sleep,
        count: Callable[[str, int | None], None] = lambda *_: None,
    ) -> None:
        self.endpoint = endpoint
        self._sleep = sleep
        self._count = count
        self._http = httpx.Client(**_options(endpoint, credentials))

    def send(self, call: Call[T], patience: Patience = PATIENT) -> T:
        """Send a call, retry it if that is safe and may help, and return its parsed answer.

        :param patience: how often and how long it is tried.
        :raises ApiError: the last try's error.
        :raises CredentialsError: when there is no access token.
        """
        return self._run(retried(call, patience), lambda step: self._send_once(step, patience))

    def _send_once(self, call: Call[T], patience: Patience) -> T:
        call.check()
        try:
            with quietly():
                response = self._http.request(**_request(call, patience))
        except httpx.HTTPError as error:
            self._count(call.verb, None)
            raise no_answer(call, self.endpoint, error) from error
        self._count(call.verb, response.status_code)
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
        return self._run(flow, lambda call: self.send(call, _limited(patience, until - time.monotonic())))

    def _run(self, flow: Flow[T], send: Callable[[Call[Any]], Any]) -> T:
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
                    answer = send(step)
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
    """:class:`Client` for an event loop, which it never blocks: credentials are refreshed in a thread."""

    def __init__(
        self,
        endpoint: Endpoint,
        credentials: Credentials | None,
        *,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        count: Callable[[str, int | None], None] = lambda *_: None,
    ) -> None:
        self.endpoint = endpoint
        self._sleep = sleep
        self._count = count
        self._http = httpx.AsyncClient(**_options(endpoint, credentials))

    async def send(self, call: Call[T], patience: Patience = PATIENT) -> T:
        """Send a call: see :meth:`Client.send`."""
        return await self._run(retried(call, patience), lambda step: self._send_once(step, patience))

    async def _send_once(self, call: Call[T], patience: Patience) -> T:
        call.check()
        try:
            with quietly():
                response = await self._http.request(**_request(call, patience))
        except httpx.HTTPError as error:
            self._count(call.verb, None)
            raise no_answer(call, self.endpoint, error) from error
        self._count(call.verb, response.status_code)
        return read_answer(call, response)

    async def pages(self, call: Call[Page[T]], patience: Patience = PATIENT) -> AsyncIterator[T]:
        """Yield the items of all pages: see :meth:`Client.pages`."""
        while True:
            page = await self.send(call, patience)
            for item in page.items:
                yield item
            if not page.next_page_token:
                return
            call = call.with_page_token(page.next_page_token)

    async def run_flow(self, flow: Flow[T], patience: Patience = PATIENT) -> T:
        """Run a flow to its end: see :meth:`Client.run_flow`."""
        return await self._run(flow, lambda call: self.send(call, patience))

    async def _run(self, flow: Flow[T], send: Callable[[Call[Any]], Awaitable[Any]]) -> T:
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
                    answer = await send(step)
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

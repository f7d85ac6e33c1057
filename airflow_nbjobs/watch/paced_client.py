"""A client that stays within the budget of requests, and backs off when requests fail."""

from __future__ import annotations

import asyncio
from typing import TypeVar

from airflow.providers.common.compat.sdk import AirflowNotFoundException

from airflow_nbjobs.api.calls import Call
from airflow_nbjobs.api.client import AsyncClient
from airflow_nbjobs.api.pacing import ENDURING, Patience, backoff, bounded_retry_after
from airflow_nbjobs.exceptions import ApiError, CredentialsError
from airflow_nbjobs.hooks import NotebookExecutionJobAsyncHook
from airflow_nbjobs.watch.budget import Budget
from airflow_nbjobs.watch.failures import Failures

__all__ = ["PacedClient"]

T = TypeVar("T")

# The caller repeats a request, so that each try is within the budget.
_ONCE = Patience(tries=1, timeout=30.0)


class PacedClient:
    """Sends one request after the other. Times are of the event loop, in seconds.

    :param location: of the jobs.
    :param hook: the connection.
    :param budget: of requests, shared with the other clients of the same project and location.
    :ivar not_before: when the next request may be sent.
    :ivar failures: since the last success.
    """

    def __init__(self, location: str, hook: NotebookExecutionJobAsyncHook, budget: Budget) -> None:
        self._location = location
        self._hook = hook
        self._loop = asyncio.get_running_loop()
        self._client: AsyncClient | None = None
        self.failures = Failures()
        self.budget = budget
        self.not_before = 0.0

    async def send(self, call: Call[T]) -> T:
        """Send a call once, when the budget allows it.

        :raises ApiError: if the service refuses or does not answer.
        :raises CredentialsError: if there is no token.
        """
        while (pause := self.budget.wait(self._loop.time())) > 0:  # noqa: ASYNC110 - others may spend it meanwhile
            await asyncio.sleep(pause)
        self.budget.spend(self._loop.time())
        try:
            answer = await (await self._connected()).send(call, _ONCE)
        except (ApiError, CredentialsError) as error:
            self._back_off(error)
            raise
        self.failures.clear()
        return answer

    async def _connected(self) -> AsyncClient:
        """Return the client. The connection is looked up once."""
        if self._client is None:
            try:
                # Shielded: Airflow 3.1's triggerer ends if a question to it is cancelled before its answer is read.
                await asyncio.shield(self._hook.get_sync_hook())
            except AirflowNotFoundException:
                raise  # a retry would not find it either
            except Exception as error:  # Airflow's API server or database is in trouble, and may be back soon
                problem = f"The connection could not be looked up: {type(error).__name__}: {error}"
                raise CredentialsError(problem, is_transient=True) from error
            self._client = await self._hook.client(self._location)
        return self._client

    def _back_off(self, error: ApiError | CredentialsError) -> None:
        """Send nothing for a while. ``Retry-After`` holds for all clients that share the budget."""
        if not error.is_transient:
            return  # the service did answer
        now = self._loop.time()
        self.failures.add(now)
        self.not_before = now + backoff(self.failures.count)
        if retry_after := getattr(error, "retry_after", None):
            self.budget.close(now + backoff(1, bounded_retry_after(retry_after, ENDURING.seconds)))

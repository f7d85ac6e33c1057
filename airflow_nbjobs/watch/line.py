"""The poller's line to the service: within the budget, and at rest for a while when it does not work."""

from __future__ import annotations

import asyncio
from typing import TypeVar

from airflow.providers.common.compat.sdk import AirflowNotFoundException

from airflow_nbjobs.api.calls import Call
from airflow_nbjobs.api.client import AsyncClient
from airflow_nbjobs.api.pacing import ENDURING, Budget, Patience, backoff, rest
from airflow_nbjobs.exceptions import ApiError, CredentialsError, UnauthenticatedError
from airflow_nbjobs.hooks import NotebookExecutionJobAsyncHook

__all__ = ["Line", "is_about_all"]

T = TypeVar("T")

# Tries are counted outside, so that each of them is within the budget.
_ONCE = Patience(tries=1, timeout=30.0)


class Line:
    """Sends one request after the other.

    :param location: of the jobs.
    :param hook: the connection.
    :param budget: of requests, shared with the other lines to the same project and location.
    :ivar not_before: when it may be used again, in the loop's time.
    :ivar failures: how many tries have failed, one after the other, since one succeeded.
    :ivar failing_since: when the first of the tries failed that have all failed since; ``None`` when the last did not.
    """

    def __init__(self, location: str, hook: NotebookExecutionJobAsyncHook, budget: Budget) -> None:
        self._location = location
        self._hook = hook
        self._loop = asyncio.get_running_loop()
        self._client: AsyncClient | None = None
        self.failures = 0
        self.budget = budget
        self.not_before = 0.0
        self.failing_since: float | None = None

    async def send(self, call: Call[T]) -> T:
        """Send a call, once, when the budget allows it.

        :raises ApiError: when the service refuses, or does not answer.
        :raises CredentialsError: when there is no token to be had.
        """
        while (pause := self.budget.wait(self._loop.time())) > 0:  # noqa: ASYNC110 - others may have spent it meanwhile
            await asyncio.sleep(pause)
        self.budget.spend(self._loop.time())
        try:
            answer = await (await self._connected()).send(call, _ONCE)
        except (ApiError, CredentialsError) as error:
            self._rest(error)
            raise
        self.failures, self.failing_since = 0, None
        return answer

    async def _connected(self) -> AsyncClient:
        """Return the client, the connection looked up once."""
        if self._client is None:
            try:
                # Shielded: Airflow 3.1's triggerer ends if a question to it is cancelled before its answer is read.
                await asyncio.shield(self._hook.get_sync_hook())
            except AirflowNotFoundException:
                raise  # it will not be there the next time either
            except Exception as error:  # Airflow's API server or database is in trouble, and may be back soon
                problem = f"The connection could not be looked up: {type(error).__name__}: {error}"
                raise CredentialsError(problem, is_transient=True) from error
            self._client = await self._hook.client(self._location)
        return self._client

    def _rest(self, error: ApiError | CredentialsError) -> None:
        """Leave the service alone for a while; when it has asked for that, all lines to it do."""
        if not error.is_transient:
            return  # it did answer
        now = self._loop.time()
        self.failures += 1
        self.failing_since = now if self.failing_since is None else self.failing_since
        self.not_before = now + backoff(self.failures)
        if retry_after := getattr(error, "retry_after", None):
            self.budget.close(now + backoff(1, rest(retry_after, ENDURING.seconds)))


def is_about_all(error: ApiError | CredentialsError) -> bool:
    """Tell whether an error has nothing to do with what was asked for: nothing can be asked without a token."""
    return isinstance(error, CredentialsError | UnauthenticatedError)

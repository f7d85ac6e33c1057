"""Waiting for a job that does not exist yet: the run of a schedule."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from airflow_nbjobs.api.flows import Flow
from airflow_nbjobs.api.pacing import ENDURING, next_look
from airflow_nbjobs.exceptions import ApiError, CredentialsError
from airflow_nbjobs.hooks import NotebookExecutionJobAsyncHook
from airflow_nbjobs.watch.budget import Budget
from airflow_nbjobs.watch.paced_client import PacedClient

__all__ = ["wait_for_arrival"]


async def wait_for_arrival(
    look: Callable[[], Flow[Any]],
    until: datetime,
    *,
    location: str,
    hook: NotebookExecutionJobAsyncHook,
    budget: Budget,
    poll_interval: float,
) -> bool:
    """Look until something is there, or it is too late.

    :param look: returns a flow of lists, which returns ``None`` if nothing is there.
    :param until: the last look is then.
    :param location: of the jobs.
    :param hook: the connection; the caller closes it.
    :param budget: of requests, shared with the pollers of the place.
    :param poll_interval: seconds between two looks.
    :returns: whether it is there.
    :raises ApiError: if the service refuses, or requests fail for fifteen minutes.
    :raises CredentialsError: as for requests that fail.
    """
    loop = asyncio.get_running_loop()
    client = PacedClient(location, hook, budget)
    while True:
        is_last = datetime.now(UTC) >= until
        try:
            if await _run(look(), client) is not None:
                return True
        except (ApiError, CredentialsError) as error:
            if not error.is_transient or client.failures.patience_lost_before(ENDURING, loop.time()) is not None:
                raise
            await asyncio.sleep(max(0.0, client.not_before - loop.time()))
            continue
        if is_last:
            return False
        left = (until - datetime.now(UTC)).total_seconds()
        await asyncio.sleep(max(0.0, min(next_look(poll_interval), left)))


async def _run(flow: Flow[Any], client: PacedClient) -> Any:
    """Run a flow of calls, each of which is sent once; an error ends it."""
    answer: Any = None
    while True:
        try:
            step = flow.send(answer)
        except StopIteration as end:
            return end.value
        answer = await client.send(step)  # type: ignore[arg-type]  # a flow of lists does not sleep

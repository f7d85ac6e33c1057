"""Retries as a flow, the same for the sync and the async client."""

from __future__ import annotations

import logging
import time
from typing import Any, TypeVar

from airflow_nbjobs.api.calls import Call
from airflow_nbjobs.api.flows import Flow, Sleep
from airflow_nbjobs.api.pacing import Patience, backoff, bounded_retry_after, queue_pause
from airflow_nbjobs.exceptions import ApiError, CredentialsError, NotFoundError, RateLimitedError, TransportError

__all__ = ["retried"]

T = TypeVar("T")

log = logging.getLogger(__name__)


def retried(call: Call[T], patience: Patience) -> Flow[T]:
    """Send a call, and again after a failure if that is safe and may help.

    :raises ApiError: the last try's error.
    :raises CredentialsError: when there is no access token.
    """
    begun = time.monotonic()
    attempt = 0
    while True:
        attempt += 1
        try:
            answer: T = yield call
        except (ApiError, CredentialsError) as error:
            if isinstance(error, NotFoundError) and call.when_gone is not None and attempt > 1:
                return call.when_gone  # an earlier try did it, and its answer was lost
            if not _is_worth_another_try(call, error):
                raise
            # A create that the quota refuses has its own bound and its own pauses.
            is_queued = not call.may_repeat and isinstance(error, RateLimitedError)
            pause_of, seconds = (queue_pause, patience.queueing) if is_queued else (backoff, patience.seconds)
            pause = pause_of(attempt, bounded_retry_after(getattr(error, "retry_after", None), seconds))
            is_last = attempt >= patience.tries and not is_queued
            if is_last or time.monotonic() - begun + pause >= seconds:
                raise
            log.warning("Trying again in %.1f s: %s", pause, error)
        else:
            return answer
        yield Sleep(pause)


def _is_worth_another_try(call: Call[Any], error: ApiError | CredentialsError) -> bool:
    if call.may_repeat or isinstance(error, CredentialsError):
        return error.is_transient
    # A create is only repeated if it was certainly not carried out.
    return isinstance(error, RateLimitedError) or (isinstance(error, TransportError) and not error.was_sent)

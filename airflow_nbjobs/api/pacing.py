"""When to poll again, and when to give up. Arithmetic only: nothing here sleeps, sends or reads a clock."""

from __future__ import annotations

import random
from dataclasses import dataclass

from airflow_nbjobs.exceptions import InvalidNotebookJobError

__all__ = [
    "ENDURING",
    "PATIENT",
    "STARTING",
    "Patience",
    "backoff",
    "bounded_retry_after",
    "next_look",
    "positive_seconds",
    "queue_pause",
]


@dataclass(frozen=True)
class Patience:
    """How often and how long one call is tried.

    :ivar tries: maximum number of tries.
    :ivar seconds: no try begins after this time.
    :ivar timeout: seconds that one try may take: for the connection, and between two parts of the answer.
    :ivar queueing: replaces ``tries`` and ``seconds`` for a create that a quota refuses: it only has to wait its turn.
    """

    tries: int = 6
    seconds: float = 90.0
    timeout: float = 60.0
    queueing: float = 900.0


PATIENT = Patience()
"""The default."""

ENDURING = Patience(tries=30, seconds=900.0, queueing=7200.0)
"""
For a task whose job goes on meanwhile: an outage of minutes should not fail it, and some 7,000 tasks that submit at
once are done in two hours.
"""

STARTING = Patience(tries=5, seconds=15.0)
"""
For credentials: a machine's metadata server may start after its first task. Missing credentials look the same: give
up after 15 s.
"""

_LONGEST_REST = 300.0
_FIRST = 0.5
_LONGEST = 30.0
_QUOTA_WINDOW = 60.0
_FIRST_TURN = 16.0


def bounded_retry_after(retry_after: float | None, seconds: float) -> float:
    """Bound a ``Retry-After`` to 300 s, and to a third of the total time: two more tries always fit in.

    :param retry_after: seconds.
    :param seconds: total time for all tries.
    """
    return min(retry_after or 0.0, _LONGEST_REST, seconds / 3.0)


def backoff(attempt: int, retry_after: float | None = None) -> float:
    """Return the seconds to wait after a failed try: exponential backoff with full jitter.

    :param attempt: number of failed tries, from 1.
    :param retry_after: minimum, in seconds (:func:`bounded_retry_after`). The jitter is added to it, so that many
        clients spread.
    """
    jitter = _share() * min(_LONGEST, _FIRST * 2.0 ** min(attempt, 16))
    return max(0.0, retry_after or 0.0) + jitter


def queue_pause(attempt: int, retry_after: float | None = None) -> float:
    """Return the seconds to wait after a quota per minute has refused a create.

    All workers share the quota without knowing of each other. The pauses soon grow to a minute, plus or minus a
    quarter, so that the workers come back spread over the minute. Shorter pauses were refused ten times as often, and
    gained nothing. Parameters as for :func:`backoff`.
    """
    window = min(_QUOTA_WINDOW, _FIRST_TURN * 4.0 ** min(attempt - 1, 16))
    return max(retry_after or 0.0, 0.75 * window) + 0.5 * window * _share()


def next_look(poll_interval: float) -> float:
    """Return the seconds until a waiting task polls again.

    :param poll_interval: seconds; up to a tenth is taken off at random, so that tasks that started together spread.
    """
    return poll_interval * (1.0 - 0.1 * _share())


def _share() -> float:
    return random.random()  # noqa: S311 - jitter, not a secret


def positive_seconds(argument: str, value: object) -> float:
    """Return a number of seconds that is given as a number or as text.

    :param argument: its name, for the error.
    :raises InvalidNotebookJobError: if it is not a number above 0.
    """
    try:
        seconds = float("nan" if isinstance(value, bool) else value)  # type: ignore[arg-type]  # raises if it is not one
    except (TypeError, ValueError, OverflowError):
        seconds = float("nan")
    if not 0 < seconds < float("inf"):
        raise InvalidNotebookJobError(f"{argument}={value!r} is not a time: give seconds, more than 0.")
    return seconds

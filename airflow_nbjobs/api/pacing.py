"""When to poll again, and when to give up. Arithmetic only: nothing here sleeps, sends or reads a clock."""

from __future__ import annotations

import random
from dataclasses import dataclass

from airflow_nbjobs.exceptions import InvalidNotebookJobError

__all__ = [
    "BRISK",
    "ENDURING",
    "PATIENT",
    "STARTING",
    "Budget",
    "Patience",
    "backoff",
    "longer_pause",
    "next_look",
    "positive_seconds",
    "quick_pause",
    "rest",
    "turn",
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
For a task whose job goes on meanwhile: an outage of minutes is no reason to fail, and some 7,000 tasks that submit at
once are done in two hours.
"""

BRISK = Patience(tries=3, seconds=3.5, timeout=2.5, queueing=3.5)
"""For a task that is being killed: Airflow allows five seconds, for all of its calls together."""

STARTING = Patience(tries=5, seconds=15.0)
"""
For credentials: a machine's metadata server may start after its first task. Missing credentials look the same, so give
up after 15 s.
"""

_LONGEST_REST = 300.0
_FIRST = 0.5
_LONGEST = 30.0
_QUOTA_WINDOW = 60.0
_FIRST_TURN = 16.0


def rest(retry_after: float | None, seconds: float) -> float:
    """Bound a ``Retry-After`` to 300 s, and to a third of the total time: two more tries always fit in.

    :param retry_after: seconds.
    :param seconds: total time for all tries.
    """
    return min(retry_after or 0.0, _LONGEST_REST, seconds / 3.0)


def backoff(attempt: int, retry_after: float | None = None, *, uniform: float | None = None) -> float:
    """Return the seconds to wait after a failed try: exponential backoff with full jitter.

    :param attempt: number of failed tries, from 1.
    :param retry_after: minimum, in seconds (:func:`rest`). The jitter is added to it, so that many clients spread.
    :param uniform: a number in [0, 1) instead of a random one.
    """
    share = random.random() if uniform is None else uniform  # noqa: S311 - jitter, not a secret
    jitter = share * min(_LONGEST, _FIRST * 2.0 ** min(attempt, 16))
    return max(0.0, retry_after or 0.0) + jitter


def turn(attempt: int, retry_after: float | None = None, *, uniform: float | None = None) -> float:
    """Return the seconds to wait after a quota per minute has refused a create.

    All workers share the quota without knowing of each other. The pauses soon grow to a minute, plus or minus a
    quarter, so that the workers come back spread over the minute. Shorter pauses were refused ten times as often, and
    gained nothing. Parameters as for :func:`backoff`.
    """
    share = random.random() if uniform is None else uniform  # noqa: S311 - jitter, not a secret
    window = min(_QUOTA_WINDOW, _FIRST_TURN * 4.0 ** min(attempt - 1, 16))
    return max(retry_after or 0.0, 0.75 * window) + 0.5 * window * share


def next_look(poll_interval: float, remaining: float | None, *, uniform: float | None = None) -> float:
    """Return the seconds until a waiting task polls again.

    :param poll_interval: seconds; up to a tenth is taken off at random, so that tasks that started together spread.
    :param remaining: seconds until the deadline, which is polled on time; ``None`` without one.
    :param uniform: a number in [0, 1) instead of a random one.
    """
    share = random.random() if uniform is None else uniform  # noqa: S311 - jitter, not a secret
    pause = poll_interval * (1.0 - 0.1 * share)
    return pause if remaining is None else max(0.0, min(pause, remaining))


def quick_pause(poll_interval: float) -> float:
    """Return the seconds until the next poll after a change, as more may change soon: a quarter of the interval.

    At least two seconds, unless the interval is shorter: no job ends sooner.
    """
    return max(poll_interval / 4.0, min(poll_interval, 2.0))


def longer_pause(pause: float, poll_interval: float) -> float:
    """Return the pause after ``pause`` seconds in which nothing changed: half as long again, up to the interval."""
    return min(pause * 1.5, poll_interval)


class Budget:
    """A token bucket: at most ``per_minute`` requests in any 60 seconds, a quarter of them at once.

    All times are seconds of one monotonic clock, and are passed in.

    :ivar per_minute: at least 1.
    """

    def __init__(self, per_minute: int) -> None:
        self.per_minute = max(1, per_minute)
        self._most = max(1.0, self.per_minute / 4.0)
        # A bucket lets less than `most + 60 * rate` through in 60 seconds, which is `per_minute + 1`; slightly less
        # than that, because of rounding errors.
        self._rate = (self.per_minute + 1.0 - self._most) / 60.001
        self._left = self._most
        self._as_of = float("-inf")
        self._closed_until = float("-inf")

    def wait(self, now: float, share: float = 1.0) -> float:
        """Return the seconds until a request may be sent; 0 for now.

        :param share: in (0, 1]. A less urgent request gives a smaller one: it leaves the rest of the burst to others.
        """
        self._refill(now)
        needed = 1.0 + (1.0 - share) * (self._most - 1.0)
        missing = max(0.0, needed - self._left - 1e-9) / self._rate
        return max(missing, self._closed_until - now, 0.0)

    def spend(self, now: float) -> None:
        """Count a request."""
        self._refill(now)
        self._left -= 1.0

    def close(self, until: float) -> None:
        """Send nothing until then, because the service asked for it."""
        self._closed_until = max(self._closed_until, until)

    def _refill(self, now: float) -> None:
        if now > self._as_of:
            self._left = min(self._most, self._left + (now - self._as_of) * self._rate)
            self._as_of = now


def positive_seconds(argument: str, value: object) -> float:
    """Return a number of seconds that is given as a number or as text.

    :param argument: its name, for the error.
    :raises InvalidNotebookJobError: if it is not a number above 0.
    """
    try:
        seconds = float(value)  # type: ignore[arg-type]  # raises if it is not a number
    except (TypeError, ValueError):
        seconds = float("nan")
    if not 0 < seconds < float("inf"):
        raise InvalidNotebookJobError(f"{argument}={value!r} is not a time: give seconds, more than 0.")
    return seconds

"""When to look again, and when to give up. Arithmetic only: nothing here sleeps, sends or reads a clock."""

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
    """How long one call is tried.

    :ivar tries: times it is sent at most.
    :ivar seconds: after which no further try begins.
    :ivar timeout: seconds that one try may take: for the connection, and between two parts of the answer.
    :ivar queueing: seconds after which a create that a quota refuses is tried no more, in place of both bounds: nothing
        is wrong, others are first.
    """

    tries: int = 6
    seconds: float = 90.0
    timeout: float = 60.0
    queueing: float = 900.0


PATIENT = Patience()
"""For a task that has nothing better to do than to succeed."""

ENDURING = Patience(tries=30, seconds=900.0, queueing=7200.0)
"""
For a task that waits for a job that goes on by itself: an outage of some minutes is no reason to fail, and some 7,000
tasks that submit at once are through in two hours.
"""

BRISK = Patience(tries=3, seconds=3.5, timeout=2.5, queueing=3.5)
"""For a task that is about to be killed: Airflow allows it five seconds, which bound all of its calls together."""

STARTING = Patience(tries=5, seconds=15.0)
"""
For credentials that cannot be made: a machine's metadata server may be later than its first task. But a machine that
has no credentials at all looks just like that, and whoever waits shall soon be told.
"""

_LONGEST_REST = 300.0
"""Seconds that the service may ask to be left alone at once: after them a look tells whether it still wants that."""

_FIRST = 0.5
_LONGEST = 30.0
_QUOTA_WINDOW = 60.0
_FIRST_TURN = 16.0


def rest(retry_after: float | None, seconds: float) -> float:
    """Return the seconds for which the service is left alone when it asks for it: 300 at most.

    Nor more than a third of the time that there is: who is asked to wait for longer than that looks once more and once
    again, rather than not at all.

    :param retry_after: the answer's ``Retry-After`` in seconds.
    :param seconds: how long it is tried in all.
    """
    return min(retry_after or 0.0, _LONGEST_REST, seconds / 3.0)


def backoff(attempt: int, retry_after: float | None = None, *, uniform: float | None = None) -> float:
    """Return the seconds to wait after a failed try: exponential, fully jittered, never less than the service asks.

    :param attempt: how many tries have failed, from 1.
    :param retry_after: seconds to leave the service alone (:func:`rest`); the jitter is added to it, so that the many
        do not come back as one.
    :param uniform: a number in [0, 1) in place of a random one.
    """
    share = random.random() if uniform is None else uniform  # noqa: S311 - jitter, not a secret
    jitter = share * min(_LONGEST, _FIRST * 2.0 ** min(attempt, 16))
    return max(0.0, retry_after or 0.0) + jitter


def turn(attempt: int, retry_after: float | None = None, *, uniform: float | None = None) -> float:
    """Return the seconds until a create that the quota of the minute has refused is sent again.

    Its quota is for all workers, and none of them knows of the others. What was let through in a burst is missed in a
    burst a minute later: the pauses soon grow to a minute, give or take a quarter, so that the many come back spread
    over it. Pauses of a few seconds are refused ten times as often, and gain nothing.

    :param attempt: how many tries have failed, from 1.
    :param retry_after: as of :func:`backoff`.
    :param uniform: a number in [0, 1) in place of a random one.
    """
    share = random.random() if uniform is None else uniform  # noqa: S311 - jitter, not a secret
    window = min(_QUOTA_WINDOW, _FIRST_TURN * 4.0 ** min(attempt - 1, 16))
    return max(retry_after or 0.0, 0.75 * window) + 0.5 * window * share


def next_look(poll_interval: float, remaining: float | None, *, uniform: float | None = None) -> float:
    """Return the seconds until a waiting task looks at its job again.

    :param poll_interval: seconds between two looks; up to a tenth of it is taken off at random, so that tasks that
        started together do not look together.
    :param remaining: seconds until the deadline, which is looked at on time; ``None`` without one.
    :param uniform: a number in [0, 1) in place of a random one.
    """
    share = random.random() if uniform is None else uniform  # noqa: S311 - jitter, not a secret
    pause = poll_interval * (1.0 - 0.1 * share)
    return pause if remaining is None else max(0.0, min(pause, remaining))


def quick_pause(poll_interval: float) -> float:
    """Return the seconds to the next look when something has just begun or changed: more may change soon.

    A quarter of the interval, and not under two seconds unless the interval is: no job is over sooner.
    """
    return max(poll_interval / 4.0, min(poll_interval, 2.0))


def longer_pause(pause: float, poll_interval: float) -> float:
    """Return the pause after ``pause`` seconds in which nothing changed: half as long again, up to the interval."""
    return min(pause * 1.5, poll_interval)


class Budget:
    """How many requests may be sent: never more than ``per_minute`` in any 60 seconds.

    A quarter of them may go at once; the rest comes back evenly. What time it is, is told with each call, in seconds
    of one clock that never goes back.

    :ivar per_minute: at least 1.
    """

    def __init__(self, per_minute: int) -> None:
        self.per_minute = max(1, per_minute)
        self._most = max(1.0, self.per_minute / 4.0)
        # A bucket lets less than `most + 60 * rate` through in 60 seconds, and that is `per_minute + 1`.
        # A little slower: the sums of many small numbers are a hair off.
        self._rate = (self.per_minute + 1.0 - self._most) / 60.001
        self._left = self._most
        self._as_of = float("-inf")
        self._closed_until = float("-inf")

    def wait(self, now: float, share: float = 1.0) -> float:
        """Return the seconds until a request may be sent; 0 for at once.

        :param share: what is less urgent gives a smaller one, in (0, 1]: it waits until so much more is left for others
            (of what may go at once, all but this share).
        """
        self._refill(now)
        needed = 1.0 + (1.0 - share) * (self._most - 1.0)
        missing = max(0.0, needed - self._left - 1e-9) / self._rate
        return max(missing, self._closed_until - now, 0.0)

    def spend(self, now: float) -> None:
        """Take note of a request."""
        self._refill(now)
        self._left -= 1.0

    def close(self, until: float) -> None:
        """Let nothing through until then: the service has asked for it."""
        self._closed_until = max(self._closed_until, until)

    def _refill(self, now: float) -> None:
        if now > self._as_of:
            self._left = min(self._most, self._left + (now - self._as_of) * self._rate)
            self._as_of = now


def positive_seconds(argument: str, value: object) -> float:
    """Return a number of seconds given as a number or as its text.

    :param argument: how the error names it.
    :raises InvalidNotebookJobError: when it is none, or not above 0.
    """
    try:
        seconds = float(value)  # type: ignore[arg-type]  # what is not a number raises
    except (TypeError, ValueError):
        seconds = float("nan")
    if not 0 < seconds < float("inf"):
        raise InvalidNotebookJobError(f"{argument}={value!r} is not a time: give seconds, more than 0.")
    return seconds

"""When the next round is: soon after a job came or changed, then less and less often."""

from __future__ import annotations

import asyncio
import contextlib

from airflow_nbjobs.api.pacing import next_look

__all__ = ["Rounds", "longer_pause", "quick_pause"]

_LONGEST_SLEEP = 3600.0


class Rounds:
    """The times of a poller's rounds, and its sleep between them. Times are of the event loop, in seconds.

    :ivar next_round: when the next round is due.
    """

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._woken = asyncio.Event()
        self._pause: float | None = None
        self.next_round = float("inf")

    def look_soon(self, poll_interval: float) -> None:
        """Shorten the pauses again: a job came or changed.

        :param poll_interval: the interval, in seconds, of a trigger that waits for this job.
        """
        pause = quick_pause(poll_interval)
        self._pause = pause if self._pause is None else min(self._pause, pause)
        self.bring_forward(next_look(pause))

    def bring_forward(self, seconds: float) -> None:
        """Move the next round forward, if it is later than this."""
        due = self._loop.time() + seconds
        if due < self.next_round:
            self.next_round = due
            self._woken.set()

    def begin_round(self, poll_interval: float) -> None:
        """Lengthen the next pause, up to the interval: :meth:`look_soon` shortens it if the round shows a change."""
        pause = quick_pause(poll_interval) if self._pause is None else self._pause
        self._pause = longer_pause(pause, poll_interval)
        self.next_round = float("inf")

    def end_round(self) -> None:
        """Set the time of the next round."""
        self.next_round = self._loop.time() + next_look(self._pause or 0.0)

    async def sleep(self, seconds: float) -> None:
        """Sleep for this time, or until the next round is moved forward."""
        self._woken.clear()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(min(seconds, _LONGEST_SLEEP)):
                await self._woken.wait()


def quick_pause(poll_interval: float) -> float:
    """Return the seconds until the next poll after a change, as more may change soon: a quarter of the interval.

    At least two seconds, unless the interval is shorter: no job ends sooner.
    """
    return max(poll_interval / 4.0, min(poll_interval, 2.0))


def longer_pause(pause: float, poll_interval: float) -> float:
    """Return the pause after ``pause`` seconds in which nothing changed: half as long again, up to the interval."""
    return min(pause * 1.5, poll_interval)

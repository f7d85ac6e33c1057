"""When the next round is: soon after something began or changed, then less and less often."""

from __future__ import annotations

import asyncio
import contextlib

from airflow_nbjobs.api.pacing import longer_pause, next_look, quick_pause

__all__ = ["Pace"]

_LONGEST_SLEEP = 3600.0


class Pace:
    """The times of a poller's rounds, and its sleep between them.

    :ivar next_round: in the loop's time.
    """

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._woken = asyncio.Event()
        self._pause: float | None = None
        self.next_round = float("inf")

    def hasten(self, poll_interval: float) -> None:
        """Look soon: a job has just come or changed for which somebody waits with this interval."""
        pause = quick_pause(poll_interval)
        self._pause = pause if self._pause is None else min(self._pause, pause)
        self.look_within(next_look(pause, None))

    def look_within(self, seconds: float) -> None:
        """Bring the next round forward to then, if it is later."""
        due = self._loop.time() + seconds
        if due < self.next_round:
            self.next_round = due
            self._woken.set()

    def begin_round(self, poll_interval: float) -> None:
        """Take note that a round begins: if nothing changes in it, the next pause is longer."""
        pause = quick_pause(poll_interval) if self._pause is None else self._pause
        self._pause = longer_pause(pause, poll_interval)
        self.next_round = float("inf")

    def end_round(self) -> None:
        """Set the time of the next round."""
        self.next_round = self._loop.time() + next_look(self._pause or 0.0, None)

    async def sleep(self, seconds: float) -> None:
        """Sleep so long, or until the next round is brought forward."""
        self._woken.clear()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(min(seconds, _LONGEST_SLEEP)):
                await self._woken.wait()

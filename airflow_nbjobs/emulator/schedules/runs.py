"""The runs of one schedule that have no job yet."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class Runs:
    """Runs by the time at which they were due. All times are nanoseconds since the epoch.

    :ivar queue: those that are to be started, in their order.
    :ivar starting: those that are being started, and when that ends.
    """

    queue: list[int] = field(default_factory=list)
    starting: dict[int, int] = field(default_factory=dict)

    def begin_starts(self, now: int, takes: int, limit: int) -> list[int]:
        """Begin to start queued runs, and return those whose start takes no time.

        :param takes: how long a start takes.
        :param limit: how many are being started at a time.
        """
        at_once: list[int] = []
        while self.queue and len(self.starting) < limit:
            due = self.queue.pop(0)
            if takes:
                self.starting[due] = now + takes
            else:
                at_once.append(due)
        return at_once

    def end_starts(self, now: int) -> list[int]:
        """Return the runs whose start has ended, in their order."""
        ended = sorted(due for due, end in self.starting.items() if end <= now)
        for due in ended:
            del self.starting[due]
        return ended

"""How many requests the pollers of one place may send, together with the tasks that wait for runs of schedules."""

from __future__ import annotations

__all__ = ["Budget"]


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

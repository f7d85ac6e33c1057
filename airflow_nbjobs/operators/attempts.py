"""How often one try may submit its job for want of a machine, and with which runtime template each time."""

from __future__ import annotations

from dataclasses import dataclass

from airflow_nbjobs.api import pacing

__all__ = ["Attempts"]


@dataclass(frozen=True, kw_only=True)
class Attempts:
    """The attempts of one try; they are counted from 0.

    :ivar templates: the runtime templates in their order, which begins anew after the last; ``None`` for a job that has
        an environment of its own instead.
    :ivar retries: how many may follow the first.
    """

    templates: tuple[str | None, ...]
    retries: int

    def allows(self, attempt: int) -> bool:
        """Tell whether there may be this attempt."""
        return attempt <= self.retries

    def template(self, attempt: int) -> str | None:
        """Return the runtime template of an attempt."""
        return self.templates[attempt % len(self.templates)]

    def announce(self, attempt: int) -> str:
        """Return that an attempt follows, as the beginning of a sentence: people count from 1."""
        template = self.template(attempt)
        return f"Attempt {attempt + 1} of {self.retries + 1} follows" + (
            f", with runtime template {template!r}" if template else ""
        )

    def sum_up(self, attempt: int) -> str:
        """Return what was tried when an attempt was the last, as a sentence; nothing when it was the only one."""
        if attempt == 0:
            return ""
        tried = [repr(template) for template in self.templates[: attempt + 1] if template]
        return f"It was the last of {attempt + 1} attempts" + (
            f"; runtime templates: {', '.join(dict.fromkeys(tried))}." if tried else "."
        )

    def pause(self, attempt: int) -> float:
        """Return the seconds to wait before an attempt when the create of the one before was refused.

        Another template is asked for at once; the list begins anew, or one is asked for again, after a while.
        """
        is_another = attempt % len(self.templates) and self.template(attempt) != self.template(attempt - 1)
        return 0.0 if is_another else pacing.backoff(attempt)

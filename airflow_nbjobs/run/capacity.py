"""How often one try may submit its job, and with which runtime template, if there is no machine for it."""

from __future__ import annotations

from dataclasses import dataclass

from airflow_nbjobs.api import pacing

__all__ = ["Attempts"]


@dataclass(frozen=True, kw_only=True)
class Attempts:
    """The attempts of one try, counted from 0.

    :ivar templates: the runtime templates in order; after the last one the first follows again. ``None`` stands for a
        job with a custom environment.
    :ivar retries: how many attempts may follow the first.
    """

    templates: tuple[str | None, ...]
    retries: int

    def allows(self, attempt: int) -> bool:
        """Return whether this attempt may be made."""
        return attempt <= self.retries

    def template(self, attempt: int) -> str | None:
        """Return the runtime template of an attempt."""
        return self.templates[attempt % len(self.templates)]

    def announce(self, attempt: int) -> str:
        """Return a clause for the log: which attempt follows, counted from 1."""
        template = self.template(attempt)
        return f"Attempt {attempt + 1} of {self.retries + 1} follows" + (
            f", with runtime template {template!r}" if template else ""
        )

    def sum_up(self, attempt: int) -> str:
        """Return a sentence for the error after the last attempt; empty if it was the only one."""
        if attempt == 0:
            return ""
        tried = [repr(template) for template in self.templates[: attempt + 1] if template]
        return f"This was the last of {attempt + 1} attempts" + (
            f"; runtime templates: {', '.join(dict.fromkeys(tried))}." if tried else "."
        )

    def pause(self, attempt: int) -> float:
        """Return the seconds to wait before an attempt if the create request of the one before was refused.

        Another template is tried at once. A template that was tried before is tried again after a pause.
        """
        is_another = attempt % len(self.templates) and self.template(attempt) != self.template(attempt - 1)
        return 0.0 if is_another else pacing.backoff(attempt)

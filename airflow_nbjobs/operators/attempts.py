"""How often one try may submit its job for want of a machine, and with which runtime template each time."""

from __future__ import annotations

from dataclasses import dataclass

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

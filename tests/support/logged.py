"""What a task or trigger has logged."""

from collections.abc import Callable

Logged = Callable[[], list[str]]
"""Returns the lines so far."""
